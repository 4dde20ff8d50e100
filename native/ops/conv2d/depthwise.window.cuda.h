// What the depthwise kernels share: which problems they take, and the window of one thread. A thread computes
// 4 pixels in each of 1 or 2 rows, for 4 (or 2) channels of N H W C: every input it loads serves all taps
// that reach it, and neighbouring threads read neighbouring channels.
#pragma once
#include "cuda/element.h"
#include "cuda/launch.h"
#include "ops/conv2d/conv2d.h"

namespace groupconv::cuda::depthwise {

constexpr int kColumns = 4;  // pixels of a thread in a row

// 3x3 or 5x5, one stride of 1 or 2, any padding; offsets within an image fit 31 bits.
inline bool is_depthwise(const Conv2dProblem& p) {
  constexpr int64_t kMostElements = int64_t{1} << 31;
  return p.groups == p.c && p.k == p.c && p.c % 4 == 0 && p.r == p.s && (p.r == 3 || p.r == 5) &&
         p.stride_h == p.stride_w && (p.stride_h == 1 || p.stride_h == 2) && p.dilation_h == 1 &&
         p.dilation_w == 1 && p.x_block == p.c && p.y_block == p.k &&
         int64_t{p.h} * p.w * p.c < kMostElements && int64_t{p.p} * p.q * p.k < kMostElements;
}

// body(T, kernel size, stride)
template <class Body>
void with_kernel(const Conv2dProblem& p, const Body& body) {
  const auto sized = [&](auto element, auto kernel) {
    if (p.stride_h == 1)
      body(element, kernel, std::integral_constant<int, 1>{});
    else
      body(element, kernel, std::integral_constant<int, 2>{});
  };
  with_element(p.dtype, [&](auto element) {
    if (p.r == 3)
      sized(element, std::integral_constant<int, 3>{});
    else
      sized(element, std::integral_constant<int, 5>{});
  });
}

inline int ceil_div(int a, int b) { return (a + b - 1) / b; }
// The width of `tiles` equal tiles that cover an extent, none wider than `most`.
inline int balanced(int extent, int most) { return ceil_div(extent, ceil_div(extent, std::max(1, most))); }

// Along one axis: out[o] = sum over taps t of weight[t] * in[i], where forward has i = o * S + t - pad, and
// gradInput, the transposed map, o = i * S + t - pad. Inputs and outputs of one thread count from its first.
template <int K, int S, bool Transposed>
struct Window {
  static constexpr int kBefore = Transposed ? (K - 1) / S : 0;
  static constexpr int inputs(int outputs) {
    return Transposed ? (outputs - 1) / S + kBefore + 1 : (outputs - 1) * S + K;
  }
  // Beyond [0, K) where the input doesn't reach the output.
  static constexpr int tap(int output, int input) {
    return Transposed ? output - S * (input - kBefore) : input - output * S;
  }
  // The transposed map's threads start at an output whose first tap meets an input: perhaps at -1.
  static __host__ __device__ __forceinline__ int before(int pad) { return Transposed ? pad % S : 0; }
  static __host__ __device__ __forceinline__ int first_output(int strip, int outputs, int pad) {
    return strip * outputs - before(pad);
  }
  static __host__ __device__ __forceinline__ int first_input(int first_output, int pad) {
    return Transposed ? (first_output + pad) / S - kBefore : first_output * S - pad;
  }
};

__device__ __forceinline__ bool inside(int i, int extent) {
  return static_cast<unsigned>(i) < static_cast<unsigned>(extent);
}

// V channels of the pixel (h, w) of an image [height, width, channels]; zero beside it.
template <int V, class T>
__device__ __forceinline__ Pack<T, V> load_pixel(const T* image, int h, int w, int height, int width,
                                                 int channels) {
  if (!inside(h, height) || !inside(w, width)) return Pack<T, V>{};
  return load_pack<V>(image + (h * width + w) * channels);
}

}  // namespace groupconv::cuda::depthwise
