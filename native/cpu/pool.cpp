#include "cpu/pool.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <vector>

#include "core/error.h"
#include "core/spin.h"
#include "cpu/context.h"
#include "cpu/limits.h"

namespace groupconv {
namespace {

constexpr int kMostThreads = 256;
constexpr int kSpins = 4000;  // about 40 us: longer than the gap between two operators of one network

int default_count() {
  const char* wanted = std::getenv("GROUPCONV_NUM_THREADS");
  if (!wanted || !*wanted) return std::min(processor_limit(), kMostThreads);
  char* end = nullptr;
  const long count = std::strtol(wanted, &end, 10);
  require(*end == 0 && count >= 1 && count <= kMostThreads, ErrorCode::InvalidArgument,
          "GROUPCONV_NUM_THREADS=", wanted, ": expected a whole number from 1 to ", kMostThreads);
  return static_cast<int>(count);
}

std::atomic<int> wanted_threads{0};

// One region at a time; a second stream that comes meanwhile runs its region on its own thread alone, which
// gives the same results. Never destroyed: workers may still sleep in it when the process ends.
//
// A region ends when its parts are done, not when every worker came: one that is late, because something else
// has its processor, finds the gate closed, and the others have done its parts.
class Pool {
 public:
  static Pool& shared() {
    static Pool* pool = new Pool;
    return *pool;
  }

  void run(int threads, ParallelBody call, const void* body) {
    std::unique_lock<std::mutex> busy(region_, std::try_to_lock);
    if (threads <= 1 || !busy.owns_lock()) return call(body, 0, 1);
    grow(threads - 1);
    call_ = call;
    body_ = body;
    threads_ = threads;
    for (int part = 0; part < threads; ++part) taken_[part].store(false, std::memory_order_relaxed);
    open();
    take_parts(0);
    close();
  }

 private:
  // The gate's word: the region's number in the high half, whether it is open, how many workers are inside.
  static constexpr uint64_t kRegion = uint64_t{1} << 32, kOpen = uint64_t{1} << 31, kInside = kOpen - 1;
  static uint64_t number(uint64_t gate) { return gate / kRegion; }

  void open() {
    {
      std::lock_guard<std::mutex> lock(sleep_);
      const uint64_t last = number(gate_.load(std::memory_order_relaxed));
      gate_.store((last + 1) * kRegion + kOpen, std::memory_order_release);
    }
    if (sleepers_.load(std::memory_order_acquire) > 0) wake_.notify_all();
  }

  void close() {
    for (int spins = 0;; ++spins) {
      uint64_t gate = gate_.load(std::memory_order_relaxed);
      if ((gate & kInside) == 0 &&
          gate_.compare_exchange_weak(gate, gate & ~kOpen, std::memory_order_acquire))
        return;
      if (spins < kSpins)
        relax();
      else
        std::this_thread::yield();
    }
  }

  // A worker's own part first: what it wrote in the region before is still in its caches.
  void take_parts(int worker) {
    for (int i = 0; i < threads_; ++i) {
      const int part = (worker + i) % threads_;
      if (!taken_[part].load(std::memory_order_relaxed) &&
          !taken_[part].exchange(true, std::memory_order_relaxed))
        call_(body_, part, threads_);
    }
  }

  void grow(int workers) {
    while (static_cast<int>(workers_.size()) < workers) {
      const int index = static_cast<int>(workers_.size()) + 1;
      const uint64_t seen = number(gate_.load(std::memory_order_relaxed));
      workers_.emplace_back([this, index, seen] { serve(index, seen); });
      workers_.back().detach();
    }
  }

  void serve(int index, uint64_t seen) {
    for (;;) {
      await_next(seen);
      uint64_t gate = gate_.load(std::memory_order_relaxed);
      bool inside = false;
      while ((gate & kOpen) && !inside)
        inside = gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acquire);
      seen = number(gate);
      if (!inside) continue;
      if (index < threads_) take_parts(index);
      gate_.fetch_sub(1, std::memory_order_release);
    }
  }

  void await_next(uint64_t seen) {
    const auto is_new = [&] { return number(gate_.load(std::memory_order_relaxed)) != seen; };
    if (spin_until(is_new, kSpins)) return;
    std::unique_lock<std::mutex> lock(sleep_);
    sleepers_.fetch_add(1, std::memory_order_release);
    wake_.wait(lock, is_new);
    sleepers_.fetch_sub(1, std::memory_order_release);
  }

  std::mutex region_, sleep_;
  std::condition_variable wake_;
  std::vector<std::thread> workers_;
  std::atomic<uint64_t> gate_{0};
  std::atomic<int> sleepers_{0};
  // Written before the gate opens, read inside.
  ParallelBody call_ = nullptr;
  const void* body_ = nullptr;
  int threads_ = 0;
  std::atomic<bool> taken_[kMostThreads];
};

}  // namespace

int thread_count() {
  int threads = wanted_threads.load(std::memory_order_relaxed);
  if (threads == 0) wanted_threads.store(threads = default_count(), std::memory_order_relaxed);
  return threads;
}

void set_thread_count(int threads) {
  require(threads >= 1 && threads <= kMostThreads, ErrorCode::InvalidArgument,
          "setNumThreads: expected a whole number from 1 to ", kMostThreads, ", found ", threads);
  wanted_threads.store(threads, std::memory_order_relaxed);
}

void run_parallel(const CpuContext& context, ParallelBody call, const void* body) {
  Pool::shared().run(context.threads, call, body);
}

}  // namespace groupconv
