// What kernels can find wrong with values. The host never reads them, so a kernel that finds something writes
// it down where the host looks when it waits: `Engine::wait` throws INVALID_ARGUMENT, once.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

namespace groupconv::cuda {

enum class Fault : int { CrossEntropyLabel };
constexpr int kFaultKinds = 1;
// Of each kind the first place, and the value found there; kNoFault where nothing was wrong.
using FaultWord = unsigned long long;
constexpr FaultWord kNoFault = ~FaultWord{0};

// In page-locked host memory, which kernels can write: nothing has to be copied, and graphs can be replayed.
struct Faults {
  FaultWord word[kFaultKinds];
};

// Of several, that at the lowest place is kept: the report does not depend on the order of threads.
__device__ __forceinline__ void report(Faults* faults, Fault kind, int64_t place, int32_t value) {
  const FaultWord found = static_cast<FaultWord>(place) << 32 | static_cast<uint32_t>(value);
  atomicMin(&faults->word[static_cast<int>(kind)], found);
}

}  // namespace groupconv::cuda
