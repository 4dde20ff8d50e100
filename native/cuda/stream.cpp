#include "cuda/stream.h"

#include <algorithm>
#include <cstring>
#include <future>
#include <utility>

#include "core/tensor.h"
#include "cuda/settings.h"

namespace groupconv::cuda {
namespace {

MemorySource device_memory(Engine& engine) {
  return {[&engine](size_t bytes) { return engine.allocate(bytes); },
          [&engine](void* block, size_t) { engine.release(block); }};
}
MemorySource pinned_memory(Engine& engine) {
  return {[&engine](size_t bytes) { return engine.allocate_host(bytes); },
          [&engine](void* block, size_t) { engine.release_host(block); }};
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

// What is to be done when the device has reached a point of its queue. That is waited for in any case, at
// last when this object goes; what `then` holds goes after it.
class CudaStream::Completion {
 public:
  Completion(Engine& engine, std::function<void()> then)
      : engine_(engine), then_(std::move(then)), event_(engine.record()) {}
  ~Completion() {
    try {
      wait();
    } catch (const Error&) {  // nobody is left to be told
    }
  }
  Completion(const Completion&) = delete;
  void wait() {
    if (void* const event = std::exchange(event_, nullptr)) engine_.wait(event);
  }
  void then() const { then_(); }

 private:
  Engine& engine_;
  const std::function<void()> then_;
  void* event_;
};

// The way through page-locked memory, for as many bytes as there are: in turns by way of two pieces, each of
// which is used again when what was done with it is done. On the launching thread, but for the construction.
class CudaStream::Pieces {
 public:
  Pieces(CudaStream& stream, size_t bytes) : stream_(stream), bytes_(bytes) {
    const size_t piece = std::min(bytes, stream.staging_.piece_bytes);
    for (size_t i = 0; i < 2 && i * piece < bytes; ++i) blocks_[i] = stream.pinned(piece);
  }
  // body(page-locked memory, offset of the piece, its bytes), which returns what is to be done when the
  // device has come this far.
  template <class Body>
  void for_each(const Body& body) {
    size_t turn = 0;
    for (size_t offset = 0; offset < bytes_; turn = 1 - turn) {
      const std::shared_ptr<Pinned>& block = blocks_[turn];
      if (busy_[turn].valid()) busy_[turn].wait();
      const size_t bytes = std::min(block->bytes(), bytes_ - offset);
      std::function<void()> then = body(static_cast<char*>(block->data()), offset, bytes);
      // Fulfilled or broken, when the function goes.
      const auto done = std::make_shared<std::promise<void>>();
      busy_[turn] = done->get_future();
      stream_.when_reached([block, done, then = std::move(then)] {
        if (then) then();
      });
      offset += bytes;
    }
  }

 private:
  CudaStream& stream_;
  const size_t bytes_;
  std::shared_ptr<Pinned> blocks_[2];
  std::future<void> busy_[2];
};

CudaStream::CudaStream(int index, std::unique_ptr<Engine> engine, const Staging& staging)
    : index_(index),
      staging_(staging),
      engine_(std::move(engine)),
      arena_(engine_->properties().memory_bytes, device_memory(*engine_)),
      pinned_arena_(staging.most_bytes, pinned_memory(*engine_)),
      completions_([](Task& task) { task(ExecutionContext()); }),
      launches_([this](Task& task) { task(engine_->context()); }) {
  // Whoever released a block may have queued work for it before, which must have been launched by now.
  engine_->when_full([this] { return arena_.trim(launches_.finished()); });
}

std::string CudaStream::place() const {
  const Liberties allowed = liberties();
  return "cuda " + engine_->properties().name + (allowed.tf32 ? ", TF32" : "") +
         (allowed.varying_order ? "" : ", deterministic");
}

Liberties CudaStream::liberties() const {
  return {addon_settings().allow_tf32, !addon_settings().deterministic};
}

void CudaStream::stop() {
  launches_.stop();
  completions_.stop();
}

void CudaStream::when_reached(std::function<void()> then) {
  completions_.submit(
      [this, completion = std::make_unique<Completion>(*engine_, std::move(then))](const ExecutionContext&) {
        try {
          completion->wait();
          if (!error_) completion->then();
        } catch (const Error& error) {
          if (!error_) error_ = std::make_unique<Error>(error);
        }
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
    completions_.notify([this, done, launch_error](const Error*) {
      const std::unique_ptr<Error> error = std::move(error_);
      done(launch_error ? launch_error.get() : error.get());
    });
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
    launches_.submit([this](const ExecutionContext&) { engine_->release_scratch(); });
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
    block = pinned_arena_.allocate(bytes);
  }
  if (!block) {
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

// Every piece has a block of its own, so that the caller waits only where there are no more of them.
void CudaStream::upload(const void* host, Tensor& to) {
  const auto* const source = static_cast<const char*>(host);
  auto* const target = static_cast<char*>(to.target_in_layout<void>(1));
  for (size_t done = 0; done < to.logical_bytes();) {
    const std::shared_ptr<Pinned> staged = pinned(std::min(staging_.piece_bytes, to.logical_bytes() - done));
    std::memcpy(staged->data(), source + done, staged->bytes());
    submit([this, staged, target = target + done](const ExecutionContext&) {
      engine_->to_device(target, staged->data(), staged->bytes());
      if (!capturing_) when_reached([staged] {});  // a graph's copies live as long as the graph
    });
    done += staged->bytes();
  }
}

void CudaStream::download(const Tensor& from, void* host) {
  refuse_while_recording("a value is read");
  const int block = from.block();
  const auto pieces = std::make_shared<Pieces>(*this, from.logical_bytes());
  const Workspace plain(*this, block > 1 ? from.logical_bytes() : 0);
  submit([=, this, shape = from.shape(), bytes = size_of(from.dtype()), source = from.in_layout<void>(block),
          row_major = plain.data()](const ExecutionContext&) {
    if (row_major) engine_->relayout(shape, bytes, source, block, row_major, 1);
    const auto* const values = static_cast<const char*>(row_major ? row_major : source);
    pieces->for_each([&](char* staged, size_t offset, size_t piece) {
      engine_->to_host(staged, values + offset, piece);
      return [=] { std::memcpy(static_cast<char*>(host) + offset, staged, piece); };
    });
  });
}

void CudaStream::receive(const Tensor& from, Tensor& to) {
  refuse_while_recording("a tensor comes from another device");
  const std::shared_ptr<Staged> arriving = stage(from);
  const auto pieces = std::make_shared<Pieces>(*this, arriving->bytes);
  submit([=, this, target = static_cast<char*>(to.target_in_layout<void>(1))](const ExecutionContext&) {
    arriving->wait();
    pieces->for_each([&](char* staged, size_t offset, size_t piece) {
      std::memcpy(staged, arriving->data.get() + offset, piece);
      engine_->to_device(target + offset, staged, piece);
      return nullptr;
    });
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
