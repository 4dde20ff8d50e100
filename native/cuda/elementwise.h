// Element-wise kernels of two operands: y = combine(a, b), or y += …, in packs of 16 bytes. y may be a.
#pragma once
#include "core/broadcast.h"
#include "cuda/element.h"
#include "cuda/launch.h"

namespace groupconv::cuda {

template <class T, class Combine>
__device__ __forceinline__ T combined(const Combine& combine, bool accumulate, T a, T b, T before) {
  const float result = combine(to_float(a), to_float(b));
  return from_float<T>(accumulate ? to_float(before) + result : result);
}

// The element after the last pack that is this thread's, or one beyond the end. There are fewer than threads
// in a block.
template <int kWidth>
__device__ __forceinline__ int64_t after_packs(int64_t size) {
  return size / kWidth * kWidth + int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
}

// Operands of one size; the elements after the last pack one by one.
template <class T, class Combine>
__global__ void __launch_bounds__(kThreads)
    combine_elements(Combine combine, bool accumulate, int64_t size, const T* a, const T* b, T* y) {
  constexpr int kWidth = kPackWidth<T>;
  GROUPCONV_GRID_STRIDE(i, size / kWidth) {
    auto as = load_pack<kWidth>(a + i * kWidth);
    const auto bs = load_pack<kWidth>(b + i * kWidth);
    Pack<T, kWidth> ys{};
    if (accumulate) ys = load_pack<kWidth>(y + i * kWidth);
#pragma unroll
    for (int k = 0; k < kWidth; ++k)
      ys.element[k] = combined(combine, accumulate, as.element[k], bs.element[k], ys.element[k]);
    store_pack(y + i * kWidth, ys);
  }
  const int64_t i = after_packs<kWidth>(size);
  if (i < size) y[i] = combined(combine, accumulate, a[i], b[i], accumulate ? y[i] : T{});
}

// b [blocks, lanes] along a [n, blocks, pixels, lanes], a plane of pixels after the other.
template <class T, int kWidth, class Combine>
__global__ void __launch_bounds__(kThreads)
    combine_channels(Combine combine, bool accumulate, Broadcast p, const T* a, const T* b, T* y) {
  const auto vectors = static_cast<unsigned>(p.lanes / kWidth);
  const auto packs = static_cast<unsigned>(p.pixels) * vectors;
  const auto planes = static_cast<unsigned>(p.n * p.blocks), blocks = static_cast<unsigned>(p.blocks);
  for (unsigned plane = blockIdx.y; plane < planes; plane += gridDim.y) {
    const T* const values = b + plane % blocks * p.lanes;
    const int64_t first = int64_t{plane} * packs;
    GROUPCONV_GRID_STRIDE(i, packs) {
      const int64_t at = (first + i) * kWidth;
      const auto as = load_pack<kWidth>(a + at);
      const auto bs = load_pack<kWidth>(values + static_cast<unsigned>(i) % vectors * kWidth);
      Pack<T, kWidth> ys{};
      if (accumulate) ys = load_pack<kWidth>(y + at);
#pragma unroll
      for (int k = 0; k < kWidth; ++k)
        ys.element[k] = combined(combine, accumulate, as.element[k], bs.element[k], ys.element[k]);
      store_pack(y + at, ys);
    }
  }
}

template <class Combine>
void queue_elements(const ExecutionContext& context, DType dtype, const Combine& combine, bool accumulate,
                    int64_t size, const float* a, const float* b, float* y) {
  with_element(dtype, [&](auto element) {
    using T = decltype(element);
    const dim3 grid = grid_for(context, (size + kPackWidth<T> - 1) / kPackWidth<T>);
    launch(context, grid, kThreads, 0, combine_elements<T, Combine>, combine, accumulate, size, as<T>(a),
           as<T>(b), as<T>(y));
  });
}

// Whether a plane's packs, and the planes, can be counted in 32 bits.
inline bool fits_channels(const Broadcast& p) {
  constexpr int64_t kMost = int64_t{1} << 31;
  return p.pixels * p.lanes < kMost && p.n * p.blocks < kMost;
}

template <class Combine>
void queue_channels(const ExecutionContext& context, DType dtype, const Combine& combine, bool accumulate,
                    const Broadcast& p, const float* a, const float* b, float* y) {
  const int64_t planes = p.n * p.blocks;
  with_packs(dtype, p.lanes, [&](auto element, auto width) {
    using T = decltype(element);
    dim3 grid = grid_for(context, p.pixels * p.lanes / width());
    const unsigned filling = grid_for(context, p.size() / width()).x;
    grid.y = static_cast<unsigned>(std::min<int64_t>(planes, (filling + grid.x - 1) / grid.x));
    launch(context, grid, kThreads, 0, combine_channels<T, width(), Combine>, combine, accumulate, p,
           as<T>(a), as<T>(b), as<T>(y));
  });
}

}  // namespace groupconv::cuda
