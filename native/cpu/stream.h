// The CPU as a device: one thread runs the queue in order, the worker pool helps inside an operator.
#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "core/arena.h"
#include "core/stream.h"

namespace groupconv {

class CpuStream final : public Stream {
 public:
  CpuStream();
  ~CpuStream() override;

  Device device() const override { return {DeviceKind::Cpu, 0}; }
  std::string place() const override;  // e.g. "cpu avx512, 2 threads"
  void submit(Task task, size_t host_bytes = 0) override;
  void notify(std::function<void(const Error*)> done) override;
  Ticket record() override;
  void wait(Ticket ticket) override;
  void drain() override;
  void* allocate(size_t bytes) override;
  void release(void* block, size_t bytes) noexcept override;
  int activation_block(int64_t channels) const override;
  void relayout(const Tensor& from, Tensor& to) override;
  void upload(const void* host, Tensor& to) override;
  void download(const Tensor& from, void* host) override;

  // Finishes the task that runs, drops the rest and joins the thread. Later work is dropped, too.
  void stop();
  const Arena& arena() const { return arena_; }
  // Time that tasks have run so far; the rest of a clock's time the queue was empty.
  double busy_seconds() const { return static_cast<double>(busy_nanoseconds_) * 1e-9; }

 private:
  struct Entry {
    Task task;
    size_t host_bytes = 0;
    std::function<void(const Error*)> notify;
  };
  void push(Entry entry);
  // Sleeps until all before the ticket is done; `lock` holds mutex_.
  void await(std::unique_lock<std::mutex>& lock, Ticket ticket);
  void loop();
  void run(Entry& entry);

  Arena arena_;
  std::mutex mutex_;
  std::condition_variable work_, progress_;
  std::deque<Entry> queue_;
  static constexpr Ticket kNobody = ~Ticket{0};
  Ticket submitted_ = 0, finished_ = 0;
  Ticket awaited_ = kNobody;  // the first that somebody waits for: waking costs more than many a task
  size_t host_bytes_ = 0;
  bool stopping_ = false;
  std::unique_ptr<Error> error_;  // the first since it was last told; guarded by mutex_
  std::thread thread_;            // started by the first task
  std::atomic<int64_t> busy_nanoseconds_{0};
};

// Bytes of memory this process may use: the smaller of the machine's and the cgroup's.
size_t memory_limit();

}  // namespace groupconv
