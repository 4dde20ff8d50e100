// Time between two points of a CUDA stream.
#pragma once
#include "cuda/launch.h"

namespace groupconv::cuda {

class Stopwatch {
 public:
  explicit Stopwatch(cudaStream_t stream) : stream_(stream) {
    check(cudaEventCreateWithFlags(&start_, 0), "event");
    check(cudaEventCreateWithFlags(&end_, 0), "event");
    check(cudaEventRecord(start_, stream_), "event");
  }
  ~Stopwatch() {
    cudaEventDestroy(start_);
    cudaEventDestroy(end_);
  }
  Stopwatch(const Stopwatch&) = delete;
  // Seconds from here to the end of what has been launched since the construction. Waits for it; throws what
  // has failed there.
  double stop() {
    check(cudaEventRecord(end_, stream_), "event");
    check(cudaEventSynchronize(end_), "timed work");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, start_, end_), "event");
    return milliseconds * 1e-3;
  }

 private:
  const cudaStream_t stream_;
  cudaEvent_t start_ = nullptr, end_ = nullptr;
};

}  // namespace groupconv::cuda
