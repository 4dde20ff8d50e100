// Work in order on one thread: what every device's stream is built on.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/error.h"
#include "core/task.h"

namespace groupconv {

class TaskQueue {
 public:
  using Ticket = uint64_t;  // the number of the last task submitted before it was taken
  // Runs one task with what the device lends it; called on the queue's thread.
  using Run = std::function<void(Task&)>;

  explicit TaskQueue(Run run) : run_(std::move(run)) {}
  ~TaskQueue() { stop(); }
  TaskQueue(const TaskQueue&) = delete;
  TaskQueue& operator=(const TaskQueue&) = delete;

  // Returns at once, unless the queue is full (tasks, or `host_bytes` held by them): then the caller waits.
  // After a task has failed, later ones are skipped until the error has been told.
  void submit(Task task, size_t host_bytes = 0) { push({std::move(task), host_bytes, nullptr}); }
  // `done` is called on the queue's thread, always, after all that was submitted before; with the first error
  // since one was last told, or null.
  void notify(std::function<void(const Error*)> done) { push({Task(), 0, std::move(done)}); }
  Ticket record() const { return submitted_; }
  // The last task that has ended; called within a task, the one before it.
  Ticket finished() const { return finished_; }
  // Blocks until everything before the ticket is done; throws the first error since one was last told.
  void wait(Ticket ticket);
  // Blocks until nothing is queued; errors stay for the next wait.
  void drain();
  // Finishes the task that runs, drops the rest and joins the thread. Later work is dropped, too.
  void stop();
  // Time that tasks have run so far; the rest of a clock's time the queue was empty.
  double busy_seconds() const { return static_cast<double>(busy_nanoseconds_) * 1e-9; }

 private:
  struct Entry {
    Task task;
    size_t host_bytes = 0;
    std::function<void(const Error*)> notify;
  };
  static constexpr Ticket kNobody = ~Ticket{0};
  void push(Entry entry);
  bool is_full() const;
  // Sleeps until all before the ticket is done; `lock` holds mutex_.
  void await(std::unique_lock<std::mutex>& lock, Ticket ticket);
  void loop();
  // Waits for entries and takes all there are; false once the queue stops.
  bool take(std::vector<Entry>& entries);
  // What the entry held is freed before it returns: an idle queue means an idle thread.
  void run(Entry entry);
  void finish(size_t host_bytes);
  std::unique_ptr<Error> take_error();

  const Run run_;
  std::mutex mutex_;  // guards what isn't atomic; the queue's thread takes it once for many tasks
  std::condition_variable work_, progress_;
  std::vector<Entry> queue_;  // not taken yet
  bool asleep_ = false;       // the thread, which is to be woken
  std::unique_ptr<Error> error_;
  std::thread thread_;  // started by the first task

  std::atomic<Ticket> submitted_{0}, finished_{0};
  std::atomic<Ticket> awaited_{
      kNobody};  // the first that somebody waits for: waking costs more than many a task
  std::atomic<size_t> host_bytes_{0};
  std::atomic<bool> stopping_{false};
  std::atomic<bool> failed_{false};  // whether there is an error that nobody was told
  std::atomic<int64_t> busy_nanoseconds_{0};
};

}  // namespace groupconv
