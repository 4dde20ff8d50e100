#include "cpu/stream.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <new>

#include "cpu/context.h"
#include "cpu/isa.h"
#include "cpu/layout.h"
#include "cpu/pool.h"

namespace groupconv {
namespace {

constexpr size_t kMostQueued = 4096;                  // tasks
constexpr size_t kMostHostBytes = size_t{256} << 20;  // held by queued tasks
// Images and other thin inputs stay N C H W: blocking three channels by sixteen would waste the bandwidth.
constexpr int64_t kMostPlainChannels = 4;

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

size_t memory_limit() {
  const size_t machine = static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  std::ifstream file("/sys/fs/cgroup/memory.max");
  size_t group = 0;
  return file >> group && group < machine ? group : machine;  // the word "max" does not read as a number
}

CpuStream::CpuStream() : arena_(memory_limit()) { active_isa(); }

CpuStream::~CpuStream() { stop(); }

void CpuStream::stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  work_.notify_all();
  progress_.notify_all();
  if (thread_.joinable()) thread_.join();
  std::lock_guard<std::mutex> lock(mutex_);
  queue_.clear();
}

void CpuStream::push(Entry entry) {
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

void CpuStream::await(std::unique_lock<std::mutex>& lock, Ticket ticket) {
  while (!stopping_ && finished_ < ticket) {
    awaited_ = std::min(awaited_, ticket);
    progress_.wait(lock);
  }
}

void CpuStream::submit(Task task, size_t host_bytes) { push({std::move(task), host_bytes, nullptr}); }

void CpuStream::notify(std::function<void(const Error*)> done) { push({Task(), 0, std::move(done)}); }

Stream::Ticket CpuStream::record() {
  std::lock_guard<std::mutex> lock(mutex_);
  return submitted_;
}

void CpuStream::wait(Ticket ticket) {
  std::unique_lock<std::mutex> lock(mutex_);
  await(lock, ticket);
  if (error_) {
    const Error error = *error_;
    error_.reset();
    throw error;
  }
}

void CpuStream::drain() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stopping_ && finished_ < submitted_) await(lock, submitted_);
}

std::string CpuStream::place() const {
  return std::string("cpu ") + isa_name(active_isa()) + ", " + std::to_string(thread_count()) + " threads";
}

void CpuStream::loop() {
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

void CpuStream::run(Entry& entry) {
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
    entry.task(CpuContext(thread_count()));
    return;
  } catch (const Error& failure) {
    error = std::make_unique<Error>(failure);
  } catch (const std::bad_alloc&) {
    error = std::make_unique<Error>(ErrorCode::OutOfMemory, "cpu: out of memory while running");
  } catch (const std::exception& failure) {
    error = std::make_unique<Error>(ErrorCode::DeviceFailure, failure.what());
  }
  std::lock_guard<std::mutex> lock(mutex_);
  error_ = std::move(error);
}

void* CpuStream::allocate(size_t bytes) {
  void* block = arena_.allocate(bytes);
  if (!block) {
    drain();  // kept blocks may be in use by queued work
    arena_.trim();
    block = arena_.allocate(bytes);
  }
  require(block, ErrorCode::OutOfMemory, "cpu: no memory for ", bytes, " bytes; ", arena_.used_bytes(),
          " are in use");
  return block;
}

void CpuStream::release(void* block, size_t bytes) noexcept { arena_.release(block, bytes); }

int CpuStream::activation_block(int64_t channels) const {
  return channels <= kMostPlainChannels ? 1 : simd_width(active_isa());
}

void CpuStream::relayout(const Tensor& from, Tensor& to) { queue_relayout(*this, from, to); }

void CpuStream::upload(const void* host, Tensor& to) {
  const size_t bytes = to.logical_bytes();
  auto staged = std::make_unique_for_overwrite<char[]>(bytes);
  std::memcpy(staged.get(), host, bytes);
  void* target = to.target_in_layout<void>(1);
  submit([staged = std::move(staged), target,
          bytes](const ExecutionContext&) { std::memcpy(target, staged.get(), bytes); },
         bytes);
}

void CpuStream::download(const Tensor& from, void* host) {
  const int block = from.block();
  const void* source = from.in_layout<void>(block);
  submit([=, shape = from.shape(), bytes = size_of(from.dtype())](const ExecutionContext& context) {
    groupconv::relayout(context, shape, bytes, source, block, host, 1);
  });
}

}  // namespace groupconv
