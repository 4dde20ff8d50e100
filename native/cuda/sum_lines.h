// Sums per channel in two levels, always in the same order. The threads of a block stand in lines
// (threadIdx.y) of channels (threadIdx.x): the first level adds up a block's lines in float32, the second
// adds up what the blocks left, in float64.
#pragma once
#include "cuda/launch.h"

namespace groupconv::cuda {

// Adds up the lines' sums, in halves; the first line has the block's. May be called again at once.
template <int Sums, int V>
__device__ __forceinline__ void sum_lines(float (&sums)[Sums][V]) {
  __shared__ float shared[Sums * V * kThreads];
  const unsigned vectors = blockDim.x, self = threadIdx.y * vectors + threadIdx.x;
  for (unsigned lines = blockDim.y; lines > 1;) {
    const unsigned half = (lines + 1) / 2;
    if (threadIdx.y >= half && threadIdx.y < lines) {
#pragma unroll
      for (int i = 0; i < Sums * V; ++i) shared[i * kThreads + self] = sums[i / V][i % V];
    }
    __syncthreads();
    if (threadIdx.y + half < lines) {
#pragma unroll
      for (int i = 0; i < Sums * V; ++i) sums[i / V][i % V] += shared[i * kThreads + self + half * vectors];
    }
    lines = half;
  }
  __syncthreads();
}

// The second level of a reduction: a block takes 8 channels (one sector of 32 bytes), 64 lanes share the
// parts. Few blocks at work wait for memory alone: who adds up 1568 parts asks for several at once.
constexpr int kFinishChannels = 8, kFinishLanes = 64;
inline dim3 finish_block() { return dim3(kFinishChannels, kFinishLanes); }
inline dim3 finish_grid(int64_t channels) {
  return dim3(static_cast<unsigned>((channels + kFinishChannels - 1) / kFinishChannels));
}

// Adds up the lanes' float64 sums, in halves; the first lane has the total. For all threads of a block, once.
template <int Sums>
__device__ __forceinline__ void sum_lanes(double (&sums)[Sums]) {
  __shared__ double shared[Sums][kFinishLanes][kFinishChannels];
#pragma unroll
  for (unsigned half = kFinishLanes / 2; half > 0; half /= 2) {
    if (threadIdx.y >= half && threadIdx.y < 2 * half) {
#pragma unroll
      for (int i = 0; i < Sums; ++i) shared[i][threadIdx.y][threadIdx.x] = sums[i];
    }
    __syncthreads();
    if (threadIdx.y < half) {
#pragma unroll
      for (int i = 0; i < Sums; ++i) sums[i] += shared[i][threadIdx.y + half][threadIdx.x];
    }
  }
}

}  // namespace groupconv::cuda
