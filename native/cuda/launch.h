// What every CUDA file of an operator starts from: the context a solver runs with, and launching a kernel.
// The same source compiles for the GPU and, on the emulator's headers, for the host.
#pragma once
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "core/error.h"
#include "core/solver.h"
#include "cuda/fault.h"
#include "cuda/shared_memory.h"

namespace groupconv::cuda {

namespace cudnn {
class Session;
}

// Throws DEVICE_FAILURE, or OUT_OF_MEMORY, with the runtime's words.
inline void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // told here, and not once more by the next launch
  fail(status == cudaErrorMemoryAllocation ? ErrorCode::OutOfMemory : ErrorCode::DeviceFailure,
       "cuda: ", what, ": ", cudaGetErrorString(status));
}

struct CudaContext : ExecutionContext {
  cudaStream_t stream = nullptr;
  int device = 0;
  int multiprocessors = 1;
  int capability = 0;  // 10 * major + minor
  virtual ~CudaContext() = default;
  // For a kernel that is launched now and checks values.
  virtual Faults* faults() const = 0;
  // Memory for the work launched from now until the next call of `scratch`, 256-byte aligned, uninitialised.
  virtual void* scratch(size_t bytes) const = 0;
  // Device memory that is the caller's until cudaFree; null where there is none.
  virtual void* allocate(size_t bytes) const = 0;
  // Gives back memory that is kept for reuse, when there is none left, and what `scratch` has lent; how many
  // bytes. None during a capture.
  virtual size_t make_room() const = 0;
  // The device's cuDNN, opened when it is first asked for; null where there is none.
  virtual cudnn::Session* cudnn() const = 0;
};

inline const CudaContext& cuda_context(const ExecutionContext& context) {
  return static_cast<const CudaContext&>(context);
}

#if defined(__CUDACC__) || defined(GROUPCONV_EMULATED)
// kernel<<<grid, block, shared_bytes>>>(arguments…) on the context's stream. The library's units without
// kernels are left to the host's compiler, which has no such thing.
template <class... Parameters, class... Arguments>
void launch(const ExecutionContext& context, dim3 grid, dim3 block, size_t shared_bytes,
            void (*kernel)(Parameters...), const Arguments&... arguments) {
  cudaStream_t stream = cuda_context(context).stream;
  allow_shared_memory(reinterpret_cast<const void*>(kernel), cuda_context(context).device, shared_bytes);
#ifdef GROUPCONV_EMULATED
  emulator::launch(stream, grid, block, shared_bytes, kernel, static_cast<Parameters>(arguments)...);
#else
  kernel<<<grid, block, shared_bytes, stream>>>(static_cast<Parameters>(arguments)...);
#endif
  check(cudaGetLastError(), "launch");
}
#endif

constexpr int kThreads = 256;  // of a block, where nothing says otherwise

// Blocks for `count` items in a grid-stride loop: enough to fill the device, never more than there is work.
inline dim3 grid_for(const ExecutionContext& context, int64_t count, int threads = kThreads) {
  const int64_t most = int64_t{cuda_context(context).multiprocessors} * (2048 / threads);
  return dim3(static_cast<unsigned>(std::clamp<int64_t>((count + threads - 1) / threads, 1, most)));
}

// for (int64_t i : every index of [0, count) that is this thread's)
#define GROUPCONV_GRID_STRIDE(i, count)                                         \
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < (count); \
       i += int64_t{gridDim.x} * blockDim.x)

// The block's dynamic shared memory.
#ifdef GROUPCONV_EMULATED
template <class T>
T* shared_memory() {
  return static_cast<T*>(emulator::dynamic_shared());
}
#else
template <class T>
__device__ __forceinline__ T* shared_memory() {
  extern __shared__ __align__(128) unsigned char groupconv_shared[];
  return reinterpret_cast<T*>(groupconv_shared);
}
#endif

}  // namespace groupconv::cuda
