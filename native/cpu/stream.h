// The CPU as a device: one thread runs the queue in order, the worker pool helps inside an operator.
#pragma once
#include "core/arena.h"
#include "core/queue.h"
#include "core/stream.h"

namespace groupconv {

class CpuStream final : public Stream {
 public:
  CpuStream();

  Device device() const override { return {DeviceKind::Cpu, 0}; }
  std::string place() const override;  // e.g. "cpu avx512, 2 threads"
  void notify(std::function<void(const Error*)> done) override { queue_.notify(std::move(done)); }
  Ticket record() override { return queue_.record(); }
  void wait(Ticket ticket) override { queue_.wait(ticket); }
  void drain() override { queue_.drain(); }
  void stop() override { queue_.stop(); }
  double busy_seconds() const override { return queue_.busy_seconds(); }
  size_t reserved_bytes() const override { return arena_.reserved_bytes(); }
  bool computes_in(DType dtype) const override { return dtype == DType::Float32; }
  int activation_block(int64_t channels) const override;
  void relayout(const Tensor& from, Tensor& to) override;
  void upload(const void* host, Tensor& to) override;
  void download(const Tensor& from, void* host) override;
  void receive(const Tensor& from, Tensor& to) override;
  void tile(std::vector<char> pattern, void* target, size_t bytes) override;

 private:
  void queue(Task task, size_t host_bytes) override { queue_.submit(std::move(task), host_bytes); }
  void* take(size_t bytes) override;
  void give(void* block, size_t bytes) noexcept override { arena_.release(block, bytes); }
  Arena arena_;
  TaskQueue queue_;  // after the arena: its thread ends first
};

}  // namespace groupconv
