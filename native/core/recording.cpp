#include "core/recording.h"

#include <algorithm>
#include <atomic>

namespace groupconv {
namespace {

uint64_t next_number() {
  static std::atomic<uint64_t> made{0};
  return ++made;
}

Form hold(const Form& form) {
  if (form.storage) ++form.storage->recordings;
  return form;
}
void let_go(const Form& form) {
  if (form.storage) --form.storage->recordings;
}

}  // namespace

Recording::Recording(Stream& stream)
    : number_(next_number()), memory_(std::make_shared<RecordedMemory>(stream)) {}

Recording::~Recording() {
  for (const auto& [id, met] : met_) let_go(met.found), let_go(met.left);
  memory_->close();
}

std::shared_ptr<Task> Recording::keep(Task task) {
  entries_.push_back({std::make_shared<Task>(std::move(task)), preparing_});
  return entries_.back().task;
}

void Recording::meet(const Tensor& tensor) {
  const auto [place, first] = met_.try_emplace(tensor.id());
  if (!first) return;
  Met& met = place->second;
  met.tensor = const_cast<Tensor&>(tensor).weak_from_this();
  met.inside = tensor.made_in() == number_;
  if (!met.inside) met.found = hold(tensor.form());
}

void Recording::wrote(const Tensor& tensor) {
  meet(tensor);
  met_[tensor.id()].written = true;
}

void Recording::prepare(const Tensor& parameter, std::string_view key, const Stamp& stamp,
                        const std::shared_ptr<Storage>& storage, const std::function<void()>& make) {
  for (const Preparation& known : preparations_)
    if (known.parameter == parameter.id() && known.key == key && known.stamp == stamp) return;
  meet(parameter);
  preparing_ = static_cast<int>(preparations_.size());
  preparations_.push_back({parameter.id(), std::string(key), stamp, storage, {}});
  make();
  preparing_ = -1;
}

// Whether the form is the only one in its memory, and the work leaves everything it was made of as it is.
bool Recording::can_stand_apart(const Preparation& preparation) const {
  const auto shares = [&](const Preparation& other) {
    return &other != &preparation && other.storage == preparation.storage;
  };
  const auto is_constant = [&](uint64_t id) {
    const auto found = met_.find(id);
    return id == 0 || (found != met_.end() && !found->second.inside && !found->second.written);
  };
  const auto& ids = preparation.stamp.ids();
  return std::none_of(preparations_.begin(), preparations_.end(), shares) &&
         std::all_of(ids.begin(), ids.end(), is_constant);
}

void Recording::seal(std::shared_ptr<Stream> stream) {
  stream_ = std::move(stream);
  auto work = std::make_shared<RecordedWork>();
  for (Entry& entry : entries_) {
    Preparation* const preparation = entry.preparation < 0 ? nullptr : &preparations_[entry.preparation];
    const bool apart = preparation && can_stand_apart(*preparation);
    (apart ? preparation->work : *work).push_back(std::move(entry.task));
  }
  entries_.clear();
  for (auto place = met_.begin(); place != met_.end();) {
    Met& met = place->second;
    const TensorPtr tensor = met.tensor.lock();
    if (met.inside && !tensor) {
      place = met_.erase(place);
      continue;
    }
    // What was only read goes back to the form in which it was found: there the next value is wanted.
    if (tensor && (met.inside || met.written))
      met.left = hold(tensor->form());
    else if (tensor)
      tensor->set_form(met.found);
    ++place;
  }
  repeat_ = stream_->repeating(std::move(work));
}

void Recording::check() const {
  for (const auto& [id, met] : met_)
    require(met.inside || !met.tensor.expired(), ErrorCode::Disposed,
            "replay: a tensor that the recorded work uses has been disposed");
}

void Recording::bring_in() {
  for (const auto& [id, met] : met_) {
    if (!met.found.storage) continue;
    met.tensor.lock()->move_into(met.found);
  }
}

void Recording::renew(Preparation& preparation) {
  const auto met = met_.find(preparation.parameter);
  const TensorPtr parameter = met == met_.end() ? nullptr : met->second.tensor.lock();
  if (!parameter) return;          // it came and went within the work
  if (preparation.work.empty()) {  // the work itself makes it, of values that nobody else knows
    parameter->set_derived(preparation.key, Stamp({}));
    return;
  }
  const Stamp now =
      preparation.stamp.renewed([&](uint64_t id) { return met_.at(id).tensor.lock()->version(); });
  if (!parameter->set_derived(preparation.key, now)) return;
  for (const std::shared_ptr<Task>& task : preparation.work)
    stream_->submit([task](const ExecutionContext& context) { (*task)(context); });
}

void Recording::replay() {
  check();
  bring_in();
  for (Preparation& preparation : preparations_) renew(preparation);
  stream_->submit(repeat_);
  for (const auto& [id, met] : met_) {
    if (!met.left.storage) continue;
    if (const TensorPtr tensor = met.tensor.lock()) {
      tensor->set_form(met.left);
      tensor->touch();
    }
  }
}

}  // namespace groupconv
