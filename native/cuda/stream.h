// A CUDA device as a stream. One thread launches what is queued, in order; a second one waits for the device
// and passes on what has come: so neither JavaScript nor the launching thread ever waits for the GPU.
#pragma once
#include "core/arena.h"
#include "core/queue.h"
#include "core/stream.h"
#include "cuda/backend.h"

namespace groupconv::cuda {

// Page-locked host memory, by way of which data come and go in pieces.
struct Staging {
  size_t piece_bytes = size_t{64} << 20;
  size_t most_bytes = size_t{1} << 30;  // altogether
};

class CudaStream final : public Stream {
 public:
  CudaStream(int index, std::unique_ptr<Engine> engine, const Staging& staging = {});
  ~CudaStream() override { stop(); }

  Device device() const override { return {DeviceKind::Cuda, index_}; }
  std::string place() const override;  // e.g. "cuda NVIDIA H100 80GB HBM3, deterministic"
  void notify(std::function<void(const Error*)> done) override;
  Ticket record() override { return launches_.record(); }
  void wait(Ticket ticket) override;
  void drain() override;
  void stop() override;
  std::string failure() override { return engine_->failure(); }
  // Of the launching thread.
  double busy_seconds() const override { return launches_.busy_seconds(); }

  size_t reserved_bytes() const override { return arena_.reserved_bytes(); }

  bool computes_in(DType dtype) const override { return dtype != DType::Int32; }
  Liberties liberties() const override;
  // N H W C.
  int activation_block(int64_t channels) const override { return static_cast<int>(channels); }
  void relayout(const Tensor& from, Tensor& to) override;
  void upload(const void* host, Tensor& to) override;
  void download(const Tensor& from, void* host) override;
  void receive(const Tensor& from, Tensor& to) override;
  void tile(std::vector<char> pattern, void* target, size_t bytes) override;
  Work repeating(std::shared_ptr<const RecordedWork> work) override;

 private:
  double seconds_for(const Work& work, int runs, const ExecutionContext& context) override;
  void queue(Task task, size_t host_bytes) override { launches_.submit(std::move(task), host_bytes); }
  void* take(size_t bytes) override;
  // The stamp says which work may still use the block.
  void give(void* block, size_t bytes) noexcept override { arena_.release(block, bytes, launches_.record()); }
  class Capture;
  class Pinned;
  class Completion;
  class Pieces;
  std::shared_ptr<Pinned> pinned(size_t bytes);
  // On the launching thread: `then` runs on the other one when the device has come this far; not after an
  // error, until that is told. What it holds is let go of when the device has come this far, in any case.
  void when_reached(std::function<void()> then);

  const int index_;
  const Staging staging_;
  const std::unique_ptr<Engine> engine_;
  bool capturing_ = false;  // of the launching thread
  Arena arena_, pinned_arena_;
  std::unique_ptr<Error> error_;  // of the completing thread: the first since it was last told
  // Threads end before what they use: the launching one first.
  TaskQueue completions_;
  TaskQueue launches_;
};

}  // namespace groupconv::cuda
