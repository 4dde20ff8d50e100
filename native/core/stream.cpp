#include "core/stream.h"

#include "core/recording.h"
#include "core/tensor.h"
#include "core/timing.h"

namespace groupconv {

Stream::Stream() = default;
Stream::~Stream() = default;

void Stream::submit(Task task, size_t host_bytes) {
  if (!recording_) return queue(std::move(task), host_bytes);
  queue([kept = recording_->keep(std::move(task))](const ExecutionContext& context) { (*kept)(context); },
        host_bytes);
}

void* Stream::allocate(size_t bytes) {
  if (!recording_) return take(bytes);
  void* block = recording_->memory()->allocate(bytes);
  recorded_blocks_.emplace(block, recording_->memory());
  return block;
}

void Stream::release(void* block, size_t bytes) noexcept {
  const auto recorded = recorded_blocks_.empty() ? recorded_blocks_.end() : recorded_blocks_.find(block);
  if (recorded == recorded_blocks_.end()) return give(block, bytes);
  const std::shared_ptr<RecordedMemory> memory = std::move(recorded->second);
  recorded_blocks_.erase(recorded);
  memory->release(block, bytes);
}

void Stream::begin_recording() {
  require(!begun_, ErrorCode::InvalidArgument, "capture: inside of another capture");
  begun_ = std::make_shared<Recording>(*this);
  recording_ = begun_.get();
}

std::shared_ptr<Recording> Stream::end_recording() {
  require(begun_ != nullptr, ErrorCode::InvalidArgument, "capture: nothing is recorded");
  const std::shared_ptr<Recording> made = std::move(begun_);
  cancel_recording();
  made->seal(shared_from_this());
  return made;
}

Stream::Work Stream::repeating(std::shared_ptr<const RecordedWork> work) {
  return [work = std::move(work)](const ExecutionContext& context) {
    for (const std::shared_ptr<Task>& task : *work) (*task)(context);
  };
}

std::vector<double> Stream::time(const Work& work, double budget_seconds) {
  std::vector<double> seconds;
  std::exception_ptr failure;
  submit([&](const ExecutionContext& context) {
    try {
      seconds = sample_times([&](int runs) { return seconds_for(work, runs, context); }, budget_seconds);
    } catch (...) {
      failure = std::current_exception();
    }
  });
  drain();
  if (failure) std::rethrow_exception(failure);
  return seconds;
}

double Stream::seconds_for(const Work& work, int runs, const ExecutionContext& context) {
  const double start = seconds_now();
  for (int i = 0; i < runs; ++i) work(context);
  return seconds_now() - start;
}

void Stream::refuse_while_recording(const char* what) const {
  require(!recording_, ErrorCode::InvalidArgument, "capture: ", what,
          ", which can't be repeated; do it outside of the captured function");
}

std::shared_ptr<Stream::Staged> Stream::stage(const Tensor& from) {
  Stream& source = from.stream();
  auto staged = std::make_shared<Staged>();
  staged->bytes = from.logical_bytes();
  staged->data = std::make_unique_for_overwrite<char[]>(staged->bytes);
  source.download(from, staged->data.get());
  // The notice follows the download at once: waiting for it is waiting for nothing that was queued later.
  // The source alone holds the promise: if it is stopped, the promise breaks and nobody waits for ever.
  auto promise = std::make_shared<std::promise<std::unique_ptr<Error>>>();
  staged->arrived = promise->get_future();
  source.notify([staged, promise = std::move(promise)](const Error* error) {
    promise->set_value(error ? std::make_unique<Error>(*error) : nullptr);
  });
  return staged;
}

void Stream::Staged::wait() {
  if (const std::unique_ptr<Error> error = arrived.get()) throw *error;
}

}  // namespace groupconv
