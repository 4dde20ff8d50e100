// The way of what kernels find wrong (fault.h) from the device to whoever waits, in the stream's order.
#pragma once
#include <mutex>
#include <utility>
#include <vector>

#include "cuda/engine.h"
#include "cuda/fault.h"

namespace groupconv::cuda {

// Where kernels write their findings, and page-locked memory to which these come.
class Findings {
 public:
  explicit Findings(cudaStream_t stream) : stream_(stream) {
    void* memory = nullptr;
    check(cudaMalloc(&memory, sizeof(Faults)), "memory");
    faults_ = static_cast<Faults*>(memory);
    clear();
  }
  ~Findings() {
    cudaFree(faults_);
    for (Faults* copy : copies_) cudaFreeHost(copy);
  }
  Findings(const Findings&) = delete;

  // On the launching thread: for kernels that are launched before the next `collect`.
  Faults* lend() {
    lent_ = true;
    return faults_;
  }
  // Whether somebody may have written since; from now on nobody, or as `lent` says.
  bool exchange_lent(bool lent) { return std::exchange(lent_, lent); }
  // On the launching thread: queues that the findings are copied and cleared. Null where nobody can have
  // found anything.
  Faults* collect() {
    if (!lent_) return nullptr;
    Faults* const copy = take();
    check(cudaMemcpyAsync(copy, faults_, sizeof(Faults), cudaMemcpyDeviceToHost, stream_), "findings");
    clear();
    lent_ = false;
    return copy;
  }
  // Any thread, once the copy has come: the findings. Null is none.
  Faults give_back(Faults* copy) {
    Faults found{};
    for (FaultWord& word : found.word) word = kNoFault;
    if (!copy) return found;
    found = *copy;
    const std::lock_guard<std::mutex> lock(mutex_);
    idle_.push_back(copy);
    return found;
  }

 private:
  void clear() { check(cudaMemsetAsync(faults_, 0xff, sizeof(Faults), stream_), "findings"); }
  Faults* take() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (idle_.empty()) {
      void* memory = nullptr;
      check(cudaMallocHost(&memory, sizeof(Faults)), "page-locked memory");
      copies_.push_back(static_cast<Faults*>(memory));
      return copies_.back();
    }
    Faults* const copy = idle_.back();
    idle_.pop_back();
    return copy;
  }

  const cudaStream_t stream_;
  Faults* faults_;
  bool lent_ = false;
  std::mutex mutex_;
  std::vector<Faults*> copies_, idle_;  // all of them, and those that nobody waits for
};

inline void tell(const Faults& faults) {
  constexpr int kLabel = static_cast<int>(Fault::CrossEntropyLabel);
  const FaultWord found = faults.word[kLabel];
  if (found == kNoFault) return;
  fail(ErrorCode::InvalidArgument, "crossEntropy: label ", static_cast<int32_t>(found), " of sample ",
       found >> 32, ", ", faults.bound[kLabel], " classes");
}

}  // namespace groupconv::cuda
