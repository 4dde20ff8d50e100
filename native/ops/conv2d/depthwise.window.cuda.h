// What the depthwise kernels share: which problems they take, and what a thread sees of an image. A thread
// owns 8 bytes of channels of N H W C and a strip of neighbouring columns, and walks down the rows: the rows
// that meet the one at hand stay in its registers, packed, so each input is loaded once per strip, and the
// next row is on its way while this one is multiplied. Neighbouring threads read neighbouring channels.
#pragma once
#include "cuda/element.h"
#include "cuda/launch.h"
#include "ops/conv2d/conv2d.h"

namespace groupconv::cuda::depthwise {

// What a test breaks on purpose, to see that it notices.
enum class Flaw { None, StaleRows };

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
  // A step of a walk: so many outputs, and so many inputs that no output before has met.
  static constexpr int kStepOutputs = Transposed ? S : 1, kStepInputs = Transposed ? 1 : S;
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

// V channels of N neighbouring pixels, two 16-bit numbers to a register: as elements they would take one
// each.
template <class T, int V, int N>
struct Line {
  static constexpr int kWords = V * static_cast<int>(sizeof(T)) / 4;
  Pack<uint32_t, kWords> pixel[N];
  __device__ __forceinline__ float at(int column, int k) const {
    if constexpr (sizeof(T) == 4)
      return bits_to_float(pixel[column].element[k]);
    else
      return to_float(T{static_cast<uint16_t>(pixel[column].element[k / 2] >> k % 2 * 16)});
  }
  __device__ __forceinline__ void load(int column, const T* from) {
    pixel[column] = load_pack<kWords>(reinterpret_cast<const uint32_t*>(from));
  }
};

// Columns w to w + N - 1 of an image [height, width, channels]; zeros beside it.
template <class T, int V, int N>
struct Strip {
  const T* image;    // at the thread's channel
  unsigned first;    // offset of (0, w), modulo 2^32
  unsigned present;  // bit j: column w + j is inside
  int height, row, channels;

  __device__ __forceinline__ Strip(const T* image, int w, int height, int width, int channels)
      : image(image),
        first(static_cast<unsigned>(w) * static_cast<unsigned>(channels)),
        present(0),
        height(height),
        row(width * channels),
        channels(channels) {
#pragma unroll
    for (int j = 0; j < N; ++j) present |= unsigned{inside(w + j, width)} << j;
  }
  // Row h, where it is wanted.
  __device__ __forceinline__ Line<T, V, N> load(int h, bool wanted = true) const {
    const unsigned here = wanted && inside(h, height) ? present : 0;
    const unsigned at = first + static_cast<unsigned>(h) * static_cast<unsigned>(row);
    Line<T, V, N> line{};
#pragma unroll
    for (int j = 0; j < N; ++j)
      if (here >> j & 1) line.load(j, image + (at + static_cast<unsigned>(j * channels)));
    return line;
  }
};

// The rows at hand move on: the window's first `Fresh` leave, those that were loaded meanwhile come.
template <Flaw kFlaw, class Line, int Rows, int Fresh>
__device__ __forceinline__ void move_on(Line (&window)[Rows], const Line (&next)[Fresh]) {
#pragma unroll
  for (int i = 0; i < Rows; ++i)
    if (i + Fresh >= Rows)
      window[i] = next[i + Fresh - Rows];
    else if (kFlaw != Flaw::StaleRows)
      window[i] = window[i + Fresh];
}

}  // namespace groupconv::cuda::depthwise
