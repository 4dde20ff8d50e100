// A CUDA stream for tests whose allocations lie between guards. New memory is poisoned, so that whoever reads
// what was never written gets NaN. On a GPU, whose memory the host can't see, compute-sanitizer does the
// same.
#pragma once
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "core/stream.h"
#ifdef GROUPCONV_EMULATED
#include "cuda/emulator/flaws.h"
#endif

namespace groupconv::test {

class GuardedStream final : public Stream {
 public:
  explicit GuardedStream(std::unique_ptr<Stream> inner) : inner_(std::move(inner)) {}

  // Nothing was written beside any block that has been released by now.
  bool intact() const { return intact_; }
  void forget_damage() { intact_ = true; }

  Device device() const override { return inner_->device(); }
  std::string place() const override { return inner_->place(); }
  void notify(std::function<void(const Error*)> done) override { inner_->notify(std::move(done)); }
  Ticket record() override { return inner_->record(); }
  void wait(Ticket ticket) override { inner_->wait(ticket); }
  void drain() override { inner_->drain(); }
  void stop() override { inner_->stop(); }
  double busy_seconds() const override { return inner_->busy_seconds(); }
  size_t reserved_bytes() const override { return inner_->reserved_bytes(); }
  bool computes_in(DType dtype) const override { return inner_->computes_in(dtype); }
  Liberties liberties() const override { return inner_->liberties(); }
  int activation_block(int64_t channels) const override { return inner_->activation_block(channels); }
  void relayout(const Tensor& from, Tensor& to) override { inner_->relayout(from, to); }
  void upload(const void* host, Tensor& to) override { inner_->upload(host, to); }
  void download(const Tensor& from, void* host) override { inner_->download(from, host); }
  void receive(const Tensor& from, Tensor& to) override { inner_->receive(from, to); }
  void tile(std::vector<char> pattern, void* target, size_t bytes) override {
    inner_->tile(std::move(pattern), target, bytes);
  }
  std::vector<double> time(const Work& work, double budget_seconds) override {
    return inner_->time(work, budget_seconds);
  }

 private:
  // What operators submit is watched; copies and changes of layout go by the inner stream.
  void queue(Task task, size_t host_bytes) override {
#ifdef GROUPCONV_EMULATED
    inner_->submit(
        [task = std::move(task)](const ExecutionContext& context) mutable {
          const emulator::Watched watched;
          task(context);
        },
        host_bytes);
#else
    inner_->submit(std::move(task), host_bytes);
#endif
  }
  void* take(size_t bytes) override {
    auto* const block = static_cast<unsigned char*>(inner_->allocate(bytes + 2 * kGuard));
#ifdef GROUPCONV_EMULATED
    inner_->drain();  // queued work may still use it
    std::memset(block, kPattern, kGuard);
    std::memset(block + kGuard, kPoison, bytes);
    std::memset(block + kGuard + bytes, kPattern, kGuard);
#endif
    return block + kGuard;
  }
  void give(void* data, size_t bytes) noexcept override {
    auto* const block = static_cast<unsigned char*>(data) - kGuard;
#ifdef GROUPCONV_EMULATED
    inner_->drain();
    for (size_t i = 0; i < kGuard; ++i)
      intact_ = intact_ && block[i] == kPattern && block[kGuard + bytes + i] == kPattern;
#endif
    inner_->release(block, bytes + 2 * kGuard);
  }

  static constexpr size_t kGuard = 256;  // keeps the alignment of a device allocation
  static constexpr unsigned char kPattern = 0x5a, kPoison = 0xff;
  const std::unique_ptr<Stream> inner_;
  bool intact_ = true;
};

}  // namespace groupconv::test
