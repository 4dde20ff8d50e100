#include "core/queue.h"

#include <algorithm>
#include <chrono>
#include <new>

namespace groupconv {
namespace {

constexpr size_t kMostQueued = 4096;                  // tasks
constexpr size_t kMostHostBytes = size_t{256} << 20;  // held by queued tasks

// Adds a task's time when the task ends, however it ends.
class BusyTime {
 public:
  explicit BusyTime(std::atomic<int64_t>& total) : total_(total) {}
  ~BusyTime() { total_ += std::chrono::nanoseconds(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::atomic<int64_t>& total_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace

void TaskQueue::stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  work_.notify_all();
  progress_.notify_all();
  if (thread_.joinable()) thread_.join();
  std::deque<Entry> dropped;  // what tasks held may ask the queue something when it goes
  std::lock_guard<std::mutex> lock(mutex_);
  dropped.swap(queue_);
}

void TaskQueue::push(Entry entry) {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stopping_ && !queue_.empty() && (queue_.size() >= kMostQueued || host_bytes_ >= kMostHostBytes))
    await(lock, finished_ + 1);
  if (stopping_) return;
  if (!thread_.joinable()) thread_ = std::thread([this] { loop(); });
  host_bytes_ += entry.host_bytes;
  ++submitted_;
  queue_.push_back(std::move(entry));
  if (queue_.size() == 1) work_.notify_one();
}

void TaskQueue::await(std::unique_lock<std::mutex>& lock, Ticket ticket) {
  while (!stopping_ && finished_ < ticket) {
    awaited_ = std::min(awaited_, ticket);
    progress_.wait(lock);
  }
}

TaskQueue::Ticket TaskQueue::record() {
  std::lock_guard<std::mutex> lock(mutex_);
  return submitted_;
}

TaskQueue::Ticket TaskQueue::finished() {
  std::lock_guard<std::mutex> lock(mutex_);
  return finished_;
}

void TaskQueue::wait(Ticket ticket) {
  std::unique_lock<std::mutex> lock(mutex_);
  await(lock, ticket);
  if (error_) {
    const Error error = *error_;
    error_.reset();
    throw error;
  }
}

void TaskQueue::drain() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stopping_ && finished_ < submitted_) await(lock, submitted_);
}

void TaskQueue::loop() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    work_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    Entry entry = std::move(queue_.front());
    lock.unlock();
    run(entry);
    const size_t host_bytes = entry.host_bytes;
    entry = Entry();  // frees what the task held
    lock.lock();
    // The entry leaves the queue only now, so that an idle queue means an idle thread.
    if (!queue_.empty()) queue_.pop_front();
    host_bytes_ -= host_bytes;
    if (++finished_ < awaited_) continue;
    awaited_ = kNobody;
    progress_.notify_all();
  }
}

void TaskQueue::run(Entry& entry) {
  std::unique_ptr<Error> error;
  if (entry.notify) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      error = std::move(error_);
    }
    return entry.notify(error.get());
  }
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (error_) return;
  }
  try {
    const BusyTime busy(busy_nanoseconds_);
    run_(entry.task);
    return;
  } catch (const Error& failure) {
    error = std::make_unique<Error>(failure);
  } catch (const std::bad_alloc&) {
    error = std::make_unique<Error>(ErrorCode::OutOfMemory, "out of memory while running");
  } catch (const std::exception& failure) {
    error = std::make_unique<Error>(ErrorCode::DeviceFailure, failure.what());
  }
  std::lock_guard<std::mutex> lock(mutex_);
  error_ = std::move(error);
}

}  // namespace groupconv
