#include "cuda/stream.h"

#include <algorithm>
#include <cstring>
#include <future>
#include <utility>

#include "core/tensor.h"
#include "cuda/settings.h"

namespace groupconv::cuda {
namespace {

constexpr size_t kMostPinnedBytes = size_t{1} << 30;

MemorySource device_memory(Engine& engine) {
  return {[&engine](size_t bytes) { return engine.allocate(bytes); },
          [&engine](void* block) { engine.release(block); }};
}
MemorySource pinned_memory(Engine& engine) {
  return {[&engine](size_t bytes) { return engine.allocate_host(bytes); },
          [&engine](void* block) { engine.release_host(block); }};
}

}  // namespace

// Page-locked host memory on loan, by way of which data come and go.
class CudaStream::Pinned {
 public:
  Pinned(Arena& arena, void* data, size_t bytes) : arena_(arena), data_(data), bytes_(bytes) {}
  ~Pinned() { arena_.release(data_, bytes_); }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  Arena& arena_;
  void* data_;
  size_t bytes_;
};

CudaStream::CudaStream(int index, std::unique_ptr<Engine> engine)
    : index_(index),
      engine_(std::move(engine)),
      arena_(engine_->properties().memory_bytes, device_memory(*engine_)),
      pinned_arena_(kMostPinnedBytes, pinned_memory(*engine_)),
      completions_([](Task& task) { task(ExecutionContext()); }),
      launches_([this](Task& task) { task(engine_->context()); }) {}

std::string CudaStream::place() const {
  return "cuda " + engine_->properties().name + (addon_settings().allow_tf32 ? ", TF32" : "") +
         (addon_settings().deterministic ? ", deterministic" : "");
}

void CudaStream::stop() {
  launches_.stop();
  completions_.stop();
}

void CudaStream::when_reached(std::function<void()> then) {
  void* event = engine_->record();
  completions_.submit([this, event, then = std::move(then)](const ExecutionContext&) {
    engine_->wait(event);
    then();
  });
}

void CudaStream::notify(std::function<void(const Error*)> done) {
  launches_.notify([this, done = std::move(done)](const Error* failed) {
    std::shared_ptr<const Error> launch_error = failed ? std::make_shared<Error>(*failed) : nullptr;
    try {
      when_reached([] {});
    } catch (const Error& error) {
      if (!launch_error) launch_error = std::make_shared<Error>(error);
    }
    completions_.notify(
        [done, launch_error](const Error* error) { done(launch_error ? launch_error.get() : error); });
  });
}

void CudaStream::wait(Ticket) {
  auto told = std::make_shared<std::promise<std::unique_ptr<Error>>>();
  notify([told](const Error* error) { told->set_value(error ? std::make_unique<Error>(*error) : nullptr); });
  auto future = told->get_future();
  told.reset();
  try {
    if (const std::unique_ptr<Error> error = future.get()) throw *error;
  } catch (const std::future_error&) {  // the stream was stopped: nothing will come
  }
}

void CudaStream::drain() {
  launches_.submit([this](const ExecutionContext&) { when_reached([] {}); });
  launches_.drain();
  completions_.drain();
}

// Ends a capture that failed half-way, so that the device's queue can go on.
class CudaStream::Capture {
 public:
  explicit Capture(CudaStream& stream) : stream_(stream) {
    stream_.engine_->begin_capture();
    stream_.capturing_ = true;
  }
  ~Capture() {
    if (!std::exchange(stream_.capturing_, false)) return;
    try {
      stream_.engine_->end_capture();
    } catch (const Error&) {  // the first failure is on its way
    }
  }
  std::unique_ptr<Graph> end() {
    stream_.capturing_ = false;
    return stream_.engine_->end_capture();
  }

 private:
  CudaStream& stream_;
};

// The first replay captures: by then the work has run once, and whatever it makes lazily exists.
Stream::Work CudaStream::repeating(std::shared_ptr<const RecordedWork> work) {
  struct Captured {
    std::shared_ptr<const RecordedWork> work;
    std::unique_ptr<Graph> graph;
  };
  const auto captured = std::make_shared<Captured>(Captured{std::move(work), nullptr});
  return [this, captured](const ExecutionContext& context) {
    if (!captured->graph) {
      Capture capture(*this);
      for (const std::shared_ptr<Task>& task : *captured->work) (*task)(context);
      captured->graph = capture.end();
    }
    engine_->launch(*captured->graph);
    when_reached([captured] {});  // the host memory from which the graph copies, too
  };
}

void* CudaStream::take(size_t bytes) {
  void* block = arena_.allocate(bytes);
  if (!block) {
    drain();  // kept blocks may be in use by queued work
    arena_.trim();
    block = arena_.allocate(bytes);
  }
  require(block, ErrorCode::OutOfMemory, device(), ": no memory for ", bytes, " bytes; ", arena_.used_bytes(),
          " are in use");
  return block;
}

std::shared_ptr<CudaStream::Pinned> CudaStream::pinned(size_t bytes) {
  void* block = pinned_arena_.allocate(bytes);
  if (!block) {
    drain();
    pinned_arena_.trim();
    block = pinned_arena_.allocate(bytes);
  }
  require(block, ErrorCode::OutOfMemory, device(), ": no page-locked host memory for ", bytes, " bytes");
  return std::make_shared<Pinned>(pinned_arena_, block, bytes);
}

void CudaStream::relayout(const Tensor& from, Tensor& to) {
  const int from_block = from.block(), to_block = to.block();
  submit([=, this, shape = from.shape(), bytes = size_of(from.dtype()),
          source = from.in_layout<void>(from_block),
          target = to.target_in_layout<void>(to_block)](const ExecutionContext&) {
    engine_->relayout(shape, bytes, source, from_block, target, to_block);
  });
}

void CudaStream::upload(const void* host, Tensor& to) {
  const std::shared_ptr<Pinned> staged = pinned(to.logical_bytes());
  std::memcpy(staged->data(), host, staged->bytes());
  submit([this, staged, target = to.target_in_layout<void>(1)](const ExecutionContext&) {
    engine_->to_device(target, staged->data(), staged->bytes());
    if (!capturing_) when_reached([staged] {});  // a graph's copies live as long as the graph
  });
}

void CudaStream::download(const Tensor& from, void* host) {
  refuse_while_recording("a value is read");
  const int block = from.block();
  const std::shared_ptr<Pinned> staged = pinned(from.logical_bytes());
  const Workspace plain(*this, block > 1 ? staged->bytes() : 0);
  submit([=, this, shape = from.shape(), bytes = size_of(from.dtype()), source = from.in_layout<void>(block),
          row_major = plain.data()](const ExecutionContext&) {
    if (row_major) engine_->relayout(shape, bytes, source, block, row_major, 1);
    engine_->to_host(staged->data(), row_major ? row_major : source, staged->bytes());
    when_reached([staged, host] { std::memcpy(host, staged->data(), staged->bytes()); });
  });
}

void CudaStream::receive(const Tensor& from, Tensor& to) {
  refuse_while_recording("a tensor comes from another device");
  const std::shared_ptr<Staged> arriving = stage(from);
  const std::shared_ptr<Pinned> staged = pinned(arriving->bytes);
  submit([=, this, target = to.target_in_layout<void>(1)](const ExecutionContext&) {
    arriving->wait();
    std::memcpy(staged->data(), arriving->data.get(), staged->bytes());
    engine_->to_device(target, staged->data(), staged->bytes());
    when_reached([staged] {});
  });
}

void CudaStream::tile(std::vector<char> pattern, void* target, size_t bytes) {
  const std::shared_ptr<Pinned> staged = pinned(pattern.size());
  std::memcpy(staged->data(), pattern.data(), staged->bytes());
  submit([=, this](const ExecutionContext&) {
    for (size_t done = 0; done < bytes; done += staged->bytes())
      engine_->to_device(static_cast<char*>(target) + done, staged->data(),
                         std::min(staged->bytes(), bytes - done));
    when_reached([staged] {});
  });
}

double CudaStream::seconds_for(const Work& work, int runs, const ExecutionContext& context) {
  return engine_->time([&] {
    for (int i = 0; i < runs; ++i) work(context);
  });
}

}  // namespace groupconv::cuda
