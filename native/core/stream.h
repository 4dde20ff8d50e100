// An in-order queue on one device: the only door to execution and to memory.
//
// Memory is stream-ordered: a block released now may be handed out again at once, because whoever receives it
// can only use it in work submitted later. So queued work holds plain pointers, and nothing waits for a
// release.
//
// Work can be recorded and repeated: everything passes here, so recording is nobody else's concern.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/device.h"
#include "core/dtype.h"
#include "core/error.h"
#include "core/task.h"

namespace groupconv {

class Recording;
class RecordedMemory;
class Tensor;

// Tasks that are run again and again, in this order.
using RecordedWork = std::vector<std::shared_ptr<Task>>;

// What the settings let operators do that changes digits, when they are called: it goes with the queued work.
struct Liberties {
  bool tf32 = false;           // round float32 factors to 11 bits, for tensor cores
  bool varying_order = false;  // add up in an order that differs between runs
};

// What tensors hold on a stream, in logical bytes (elements times their size: no padding, no size classes).
struct MemoryUse {
  std::atomic<int64_t> bytes{0}, peak_bytes{0};
  std::atomic<int64_t> derived_bytes{0};  // packed and folded forms of parameters
};

class Stream : public std::enable_shared_from_this<Stream> {
 public:
  using Ticket = uint64_t;  // the number of the last task submitted before it was taken

  Stream();
  virtual ~Stream();
  virtual Device device() const = 0;
  // The device and what decides its speed, in words: choices that were measured hold for this place.
  virtual std::string place() const = 0;

  // Queues work and returns at once. A full queue (tasks, or `host_bytes` held by them) slows the caller
  // down. After a task has failed, later ones are skipped until a wait has told the error.
  void submit(Task task, size_t host_bytes = 0);
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
  // Why the device can't be used any more, in words; empty where it can. Any thread.
  virtual std::string failure() { return ""; }
  // Time spent running tasks so far; the rest of a clock's time the queue was empty.
  virtual double busy_seconds() const = 0;

  // At least `bytes`, 64-byte aligned, uninitialised. Throws OUT_OF_MEMORY.
  void* allocate(size_t bytes);
  void release(void* block, size_t bytes) noexcept;
  // Taken from the system, blocks that are kept for reuse included.
  virtual size_t reserved_bytes() const = 0;

  // Whether operators compute on activations of this dtype; parameters are float32 everywhere.
  virtual bool computes_in(DType dtype) const = 0;
  virtual Liberties liberties() const { return {}; }
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

  // Writes the pattern to `target`, over and over.
  virtual void tile(std::vector<char> pattern, void* target, size_t bytes) = 0;
  using Work = std::function<void(const ExecutionContext&)>;
  // Runs the work again and again on the queue's thread, as `sample_times` says, and waits: the seconds of
  // one run by the device's clock. Throws what the work throws; empty where an earlier failure has not been
  // told.
  virtual std::vector<double> time(const Work& work, double budget_seconds);

  // From begin to end, what is submitted runs and is kept, with memory of its own. One at a time
  // (INVALID_ARGUMENT); reading values and other streams' tensors are refused meanwhile. Without an end the
  // recording is dropped by `cancel`.
  void begin_recording();
  std::shared_ptr<Recording> end_recording();
  void cancel_recording() noexcept { recording_ = nullptr, begun_.reset(); }
  bool has_begun_recording() const { return begun_ != nullptr; }
  // What is submitted and allocated now belongs to it; null where nothing is recorded, or it is paused.
  Recording* recording() const { return recording_; }
  void pause_recording(bool paused) { recording_ = paused ? nullptr : begun_.get(); }
  // What repeats the work when it is called on the queue's thread.
  virtual Work repeating(std::shared_ptr<const RecordedWork> work);

  MemoryUse use;

 protected:
  friend class RecordedMemory;
  virtual void queue(Task task, size_t host_bytes) = 0;
  virtual void* take(size_t bytes) = 0;
  virtual void give(void* block, size_t bytes) noexcept = 0;
  // How long the device takes for so many runs in a row; called on the queue's thread.
  virtual double seconds_for(const Work& work, int runs, const ExecutionContext& context);
  // INVALID_ARGUMENT: what a recording can't repeat.
  void refuse_while_recording(const char* what) const;

  // A tensor's elements on their way from one stream to another, by way of the host.
  struct Staged {
    std::unique_ptr<char[]> data;
    size_t bytes = 0;
    std::future<std::unique_ptr<Error>> arrived;
    // Blocks until they are there; throws the other stream's error. To be called once.
    void wait();
  };
  static std::shared_ptr<Staged> stage(const Tensor& from);

 private:
  std::shared_ptr<Recording> begun_;
  Recording* recording_ = nullptr;
  // Blocks in use that are a recording's.
  std::unordered_map<void*, std::shared_ptr<RecordedMemory>> recorded_blocks_;
};

// While it lives, what is done is no part of the stream's recording.
class PausedRecording {
 public:
  explicit PausedRecording(Stream& stream) : stream_(stream), was_(stream.recording() != nullptr) {
    if (was_) stream_.pause_recording(true);
  }
  ~PausedRecording() {
    if (was_) stream_.pause_recording(false);
  }
  PausedRecording(const PausedRecording&) = delete;
  PausedRecording& operator=(const PausedRecording&) = delete;

 private:
  Stream& stream_;
  const bool was_;
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
