// Reductions over the threads of a warp and of a block, always in the same order: results repeat bitwise.
#pragma once
#include <cuda_runtime.h>

namespace groupconv::cuda {

constexpr int kWarp = 32;

struct Sum {
  template <class T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a + b;
  }
};
// NaN is passed over.
struct Largest {
  __device__ __forceinline__ float operator()(float a, float b) const { return a < b || a != a ? b : a; }
};

// What a block waits with. A parameter, so that tests can show that they notice when it is missing.
struct BlockBarrier {
  __device__ __forceinline__ void operator()() const { __syncthreads(); }
};

// Every lane gets the warp's result. All lanes take part.
template <class T, class Combine>
__device__ __forceinline__ T reduce_warp(T value, Combine combine) {
#pragma unroll
  for (int bits = kWarp / 2; bits > 0; bits /= 2)
    value = combine(value, __shfl_xor_sync(0xffffffffu, value, bits));
  return value;
}

// Every thread gets the block's result: kThreadsOfBlock threads along x, a multiple of 32. May be called
// again at once.
template <int kThreadsOfBlock, class T, class Combine>
__device__ __forceinline__ T reduce_block(T value, Combine combine) {
  if constexpr (kThreadsOfBlock == kWarp) {
    return reduce_warp(value, combine);
  } else {
    __shared__ T warps[kThreadsOfBlock / kWarp];
    value = reduce_warp(value, combine);
    if (threadIdx.x % kWarp == 0) warps[threadIdx.x / kWarp] = value;
    __syncthreads();
    value = warps[0];
#pragma unroll
    for (int warp = 1; warp < kThreadsOfBlock / kWarp; ++warp) value = combine(value, warps[warp]);
    __syncthreads();  // before the next call writes
    return value;
  }
}

}  // namespace groupconv::cuda
