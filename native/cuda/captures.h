// Captures of a device, and what would spoil them from another thread.
//
// A wait for the whole device makes every capture that is under way there invalid, in whatever mode that was
// begun (NVIDIA/TensorRT#2888), and cudnnDestroy waits so. Captures are relaxed, so calls that are merely
// "potentially unsafe" (cudaMalloc, cudaFree, and their like for the host) disturb none of them: these need
// no lock, on the capturing thread or on another one.
#pragma once
#include <mutex>
#include <shared_mutex>

namespace groupconv::cuda {

// Held shared from the begin of a capture to its end, by the capturing thread; alone while something is made
// or destroyed that may wait for the device. Whoever captures waits for no other thread, so nobody waits
// forever; but it must not ask for the lock once more.
inline std::shared_mutex& captures_of(int device) {
  constexpr int kLocks = 64;  // a machine with more devices has some of them share one
  static std::shared_mutex locks[kLocks];
  return locks[device % kLocks];
}

using WhileCapturing = std::shared_lock<std::shared_mutex>;
using WithoutCaptures = std::unique_lock<std::shared_mutex>;

}  // namespace groupconv::cuda
