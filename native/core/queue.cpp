#include "core/queue.h"

#include <algorithm>
#include <chrono>
#include <new>
#include <utility>

#include "core/spin.h"

namespace groupconv {
namespace {

constexpr size_t kMostQueued = 4096;                  // tasks
constexpr size_t kMostHostBytes = size_t{256} << 20;  // held by queued tasks
constexpr int kSpins = 1000;  // some 10 us: longer than JavaScript takes from one operator to the next

int64_t nanoseconds_now() {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

void TaskQueue::stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  work_.notify_all();
  progress_.notify_all();
  if (thread_.joinable()) thread_.join();
  std::vector<Entry> dropped;  // what tasks held may ask the queue something when it goes
  std::lock_guard<std::mutex> lock(mutex_);
  dropped.swap(queue_);
}

bool TaskQueue::is_full() const {
  const uint64_t unfinished = submitted_ - finished_;
  return unfinished >= kMostQueued || (unfinished > 0 && host_bytes_ >= kMostHostBytes);
}

void TaskQueue::push(Entry entry) {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stopping_ && is_full()) await(lock, finished_ + 1);
  if (stopping_) return;
  if (!thread_.joinable()) thread_ = std::thread([this] { loop(); });
  host_bytes_ += entry.host_bytes;
  queue_.push_back(std::move(entry));
  ++submitted_;
  const bool wake = std::exchange(asleep_, false);
  lock.unlock();
  if (wake) work_.notify_one();
}

// First it says what it waits for, then it looks; `finish` does it the other way round. So one sees the
// other.
void TaskQueue::await(std::unique_lock<std::mutex>& lock, Ticket ticket) {
  for (;;) {
    awaited_ = std::min(awaited_.load(), ticket);
    if (stopping_ || finished_ >= ticket) return;
    progress_.wait(lock);
  }
}

void TaskQueue::wait(Ticket ticket) {
  {
    std::unique_lock<std::mutex> lock(mutex_);
    await(lock, ticket);
  }
  if (const std::unique_ptr<Error> error = take_error()) throw *error;
}

void TaskQueue::drain() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stopping_ && finished_ < submitted_) await(lock, submitted_);
}

void TaskQueue::loop() {
  std::vector<Entry> entries;
  while (take(entries)) {
    int64_t begin = nanoseconds_now();
    for (Entry& entry : entries) {
      if (stopping_) return;
      const size_t host_bytes = entry.host_bytes;
      run(std::move(entry));
      const int64_t end = nanoseconds_now();
      busy_nanoseconds_ += end - std::exchange(begin, end);
      finish(host_bytes);
    }
    entries.clear();
  }
}

bool TaskQueue::take(std::vector<Entry>& entries) {
  spin_until([&] { return stopping_ || submitted_ != finished_; }, kSpins);
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stopping_ && queue_.empty()) {
    asleep_ = true;
    work_.wait(lock);
  }
  entries.swap(queue_);
  return !stopping_;
}

void TaskQueue::run(Entry entry) {
  if (entry.notify) return entry.notify(take_error().get());
  if (failed_) return;
  std::unique_ptr<Error> error;
  try {
    return run_(entry.task);
  } catch (const Error& failure) {
    error = std::make_unique<Error>(failure);
  } catch (const std::bad_alloc&) {
    error = std::make_unique<Error>(ErrorCode::OutOfMemory, "out of memory while running");
  } catch (const std::exception& failure) {
    error = std::make_unique<Error>(ErrorCode::DeviceFailure, failure.what());
  }
  std::lock_guard<std::mutex> lock(mutex_);
  error_ = std::move(error);
  failed_ = true;
}

void TaskQueue::finish(size_t host_bytes) {
  host_bytes_ -= host_bytes;
  if (++finished_ < awaited_) return;
  std::lock_guard<std::mutex> lock(mutex_);
  awaited_ = kNobody;
  progress_.notify_all();
}

std::unique_ptr<Error> TaskQueue::take_error() {
  if (!failed_) return nullptr;
  std::lock_guard<std::mutex> lock(mutex_);
  failed_ = false;
  return std::move(error_);
}

}  // namespace groupconv
