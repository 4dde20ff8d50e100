// An in-order queue on one device: the only door to execution and to memory.
//
// Memory is stream-ordered: a block released now may be handed out again at once, because whoever receives it
// can only use it in work submitted later. So queued work holds plain pointers, and nothing waits for a
// release.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <string>

#include "core/device.h"
#include "core/dtype.h"
#include "core/error.h"
#include "core/task.h"

namespace groupconv {

class Tensor;

// What tensors hold on a stream, in logical bytes (elements times their size: no padding, no size classes).
struct MemoryUse {
  std::atomic<int64_t> bytes{0}, peak_bytes{0};
  std::atomic<int64_t> derived_bytes{0};  // packed and folded forms of parameters
};

class Stream {
 public:
  using Ticket = uint64_t;  // the number of the last task submitted before it was taken

  virtual ~Stream() = default;
  virtual Device device() const = 0;
  // The device and what decides its speed, in words: choices that were measured hold for this place.
  virtual std::string place() const = 0;

  // Queues work and returns at once. A full queue (tasks, or `host_bytes` held by them) slows the caller
  // down. After a task has failed, later ones are skipped until a wait has told the error.
  virtual void submit(Task task, size_t host_bytes = 0) = 0;
  // `done` is called on the queue's thread, always, after all that was submitted before; with the first error
  // since the last notify or wait, or null.
  virtual void notify(std::function<void(const Error*)> done) = 0;
  virtual Ticket record() = 0;
  // Blocks until everything before the ticket is done; throws the first error since the last wait.
  virtual void wait(Ticket ticket) = 0;
  void synchronize() { wait(record()); }
  // Blocks until nothing is queued; errors stay for the next wait.
  virtual void drain() = 0;
  // Finishes what runs, drops the rest and ends the stream's threads. Later work is dropped, too.
  virtual void stop() = 0;
  // Time spent running tasks so far; the rest of a clock's time the queue was empty.
  virtual double busy_seconds() const = 0;

  // At least `bytes`, 64-byte aligned, uninitialised. Throws OUT_OF_MEMORY.
  virtual void* allocate(size_t bytes) = 0;
  virtual void release(void* block, size_t bytes) noexcept = 0;
  // Taken from the system, blocks that are kept for reuse included.
  virtual size_t reserved_bytes() const = 0;

  // Whether operators compute on activations of this dtype; parameters are float32 everywhere.
  virtual bool computes_in(DType dtype) const = 0;
  // Channel block B of the device's layout N C/B H W B for a 4-D activation; 1 means plain N C H W, B = C
  // is N H W C.
  virtual int activation_block(int64_t channels) const = 0;
  // Copies the elements of `from` into `to`, whose block may differ; pad lanes of `to` become zero.
  virtual void relayout(const Tensor& from, Tensor& to) = 0;
  // Row-major elements from and to the host. `host` of an upload is read before the call returns; that of a
  // download is written in stream order and must live until then.
  virtual void upload(const void* host, Tensor& to) = 0;
  virtual void download(const Tensor& from, void* host) = 0;
  // Copies the elements of another stream's tensor, in the order of both streams.
  virtual void receive(const Tensor& from, Tensor& to) = 0;

  MemoryUse use;

 protected:
  // A tensor's elements on their way from one stream to another, by way of the host.
  struct Staged {
    std::unique_ptr<char[]> data;
    size_t bytes = 0;
    std::future<std::unique_ptr<Error>> arrived;
    // Blocks until they are there; throws the other stream's error. To be called once.
    void wait();
  };
  static std::shared_ptr<Staged> stage(const Tensor& from);
};

// Scratch memory that work submitted during this object's life may use.
class Workspace {
 public:
  Workspace(Stream& stream, size_t bytes)
      : stream_(stream), data_(bytes ? stream.allocate(bytes) : nullptr), bytes_(bytes) {}
  ~Workspace() {
    if (data_) stream_.release(data_, bytes_);
  }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  void* data() const { return data_; }

 private:
  Stream& stream_;
  void* data_;
  size_t bytes_;
};

}  // namespace groupconv
