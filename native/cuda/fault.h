// What kernels can find wrong with values. The host never reads them, so a kernel that finds something writes
// it down. Where the engine marks a point of its queue, it also queues that the findings are copied to the
// host and cleared: so nobody reads or clears them while a kernel runs, and `Engine::wait` throws
// INVALID_ARGUMENT, once.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

namespace groupconv::cuda {

enum class Fault : int { CrossEntropyLabel };
constexpr int kFaultKinds = 1;
// The first place, and the value found there; kNoFault where nothing was wrong.
using FaultWord = unsigned long long;
constexpr FaultWord kNoFault = ~FaultWord{0};

// In device memory; every byte is 0xff where nothing was found.
struct Faults {
  FaultWord word[kFaultKinds];
  int64_t bound[kFaultKinds];  // what the value should have been below
};

#if defined(__CUDACC__) || defined(GROUPCONV_EMULATED)
// Of several, that at the lowest place is kept: the report does not depend on the order of threads.
__device__ __forceinline__ void report(Faults* faults, Fault kind, int64_t place, int32_t value,
                                       int64_t bound) {
  const FaultWord found = static_cast<FaultWord>(place) << 32 | static_cast<uint32_t>(value);
  // One launch has one bound, and launches follow one another: who lowers the word last is of its launch.
  if (atomicMin(&faults->word[static_cast<int>(kind)], found) > found)
    faults->bound[static_cast<int>(kind)] = bound;
}
#endif

}  // namespace groupconv::cuda
