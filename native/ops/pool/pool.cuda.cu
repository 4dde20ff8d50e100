// Pooling over N H W C, a thread for 16 bytes of channels of one pixel where the channels allow it. Gradients
// are gathered: each pixel of x asks the windows that cover it, so nobody adds to another's sum.
#include "cuda/element.h"
#include "cuda/launch.h"
#include "cuda/offer.h"
#include "ops/pool/pool.h"

namespace groupconv::cuda {
namespace {

// The pixel and the first channel of item i of an image [n, height, width, channels / kWidth].
struct Item {
  int64_t n, h, w, channel;
};
template <int kWidth>
__device__ __forceinline__ Item item_at(int64_t i, int64_t height, int64_t width, int64_t channels) {
  const int64_t packs = channels / kWidth, pixel = i / packs, row = pixel / width;
  return {row / height, row % height, pixel % width, i % packs * kWidth};
}

// Offsets of channel c of pixels of x and of y.
__device__ __forceinline__ int64_t x_at(const PoolProblem& p, int64_t n, int64_t h, int64_t w, int64_t c) {
  return ((n * p.h + h) * p.w + w) * p.c + c;
}
__device__ __forceinline__ int64_t y_at(const PoolProblem& p, int64_t n, int64_t h, int64_t w, int64_t c) {
  return ((n * p.p + h) * p.q + w) * p.c + c;
}

template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads, 2)
    forward(PoolProblem p, const T* __restrict__ x, T* __restrict__ y) {
  const bool is_max = p.kind == PoolKind::Max;
  GROUPCONV_GRID_STRIDE(i, p.n * p.p * p.q * (p.c / kWidth)) {
    const Item at = item_at<kWidth>(i, p.p, p.q, p.c);
    const PoolRange rows = pool_rows(p, at.h), columns = pool_columns(p, at.w);
    float result[kWidth];
#pragma unroll
    for (int k = 0; k < kWidth; ++k) result[k] = is_max ? -INFINITY : 0;
    for (int64_t h = rows.begin; h < rows.end; ++h)
      for (int64_t w = columns.begin; w < columns.end; ++w) {
        const auto pack = load_pack<kWidth>(x + x_at(p, at.n, h, w, at.channel));
#pragma unroll
        for (int k = 0; k < kWidth; ++k) {
          const float value = to_float(pack.element[k]);
          if (!is_max)
            result[k] += value;
          else if (value > result[k] || value != value)  // a NaN wins
            result[k] = value;
        }
      }
    const float scale = is_max ? 1 : 1 / static_cast<float>(pool_divisor(p, rows, columns));
    Pack<T, kWidth> pack;
#pragma unroll
    for (int k = 0; k < kWidth; ++k) pack.element[k] = from_float<T>(result[k] * scale);
    store_pack(y + y_at(p, at.n, at.h, at.w, at.channel), pack);
  }
}

// The outputs whose windows contain an input.
__device__ __forceinline__ PoolRange windows_over(const PoolProblem& p, int64_t input, int64_t input_extent,
                                                  int64_t output_extent, int64_t kernel, int64_t stride,
                                                  int64_t pad) {
  if (p.kind == PoolKind::AdaptiveAvg)
    return {input * output_extent / input_extent,
            ((input + 1) * output_extent + input_extent - 1) / input_extent};
  const int64_t last_start = input + pad,
                before = last_start - kernel;  // windows that start there end before
  return {before < 0 ? 0 : before / stride + 1, std::min(last_start / stride + 1, output_extent)};
}

// Whether an earlier pixel of the window is its maximum as well.
template <class T>
__device__ __forceinline__ bool has_earlier_maximum(const PoolProblem& p, const T* __restrict__ x, float top,
                                                    const Item& at, int64_t c, PoolRange rows,
                                                    PoolRange columns) {
  for (int64_t h = rows.begin; h <= at.h; ++h)
    for (int64_t w = columns.begin; w < columns.end && (h < at.h || w < at.w); ++w) {
      const float value = to_float(x[x_at(p, at.n, h, w, c)]);
      if (value == top || value != value) return true;
    }
  return false;
}

template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads, 2)
    backward(PoolProblem p, const T* __restrict__ x, const T* __restrict__ y, const T* __restrict__ dy,
             T* __restrict__ dx) {
  const bool is_max = p.kind == PoolKind::Max;
  GROUPCONV_GRID_STRIDE(i, p.n * p.h * p.w * (p.c / kWidth)) {
    const Item at = item_at<kWidth>(i, p.h, p.w, p.c);
    const PoolRange ps = windows_over(p, at.h, p.h, p.p, p.kernel_h, p.stride_h, p.pad_top);
    const PoolRange qs = windows_over(p, at.w, p.w, p.q, p.kernel_w, p.stride_w, p.pad_left);
    const int64_t self = x_at(p, at.n, at.h, at.w, at.channel);
    Pack<T, kWidth> values{};
    if (is_max) values = load_pack<kWidth>(x + self);
    float sum[kWidth] = {};
    for (int64_t oh = ps.begin; oh < ps.end; ++oh)
      for (int64_t ow = qs.begin; ow < qs.end; ++ow) {
        const PoolRange rows = pool_rows(p, oh), columns = pool_columns(p, ow);
        const int64_t output = y_at(p, at.n, oh, ow, at.channel);
        const auto gradient = load_pack<kWidth>(dy + output);
        if (!is_max) {
          const float scale = 1 / static_cast<float>(pool_divisor(p, rows, columns));
#pragma unroll
          for (int k = 0; k < kWidth; ++k) sum[k] += to_float(gradient.element[k]) * scale;
          continue;
        }
        const auto tops = load_pack<kWidth>(y + output);
#pragma unroll
        for (int k = 0; k < kWidth; ++k) {
          const float value = to_float(values.element[k]), top = to_float(tops.element[k]);
          if ((value == top || value != value) &&
              !has_earlier_maximum(p, x, top, at, at.channel + k, rows, columns))
            sum[k] += to_float(gradient.element[k]);
        }
      }
    Pack<T, kWidth> pack{};
    if (p.accumulate) pack = load_pack<kWidth>(dx + self);
#pragma unroll
    for (int k = 0; k < kWidth; ++k)
      pack.element[k] = from_float<T>(p.accumulate ? to_float(pack.element[k]) + sum[k] : sum[k]);
    store_pack(dx + self, pack);
  }
}

template <class T, int kWidth>
void run_as(const PoolProblem& p, const PoolBuffers& b, const ExecutionContext& context) {
  const int64_t pixels = p.backward ? p.h * p.w : p.p * p.q;
  const dim3 grid = grid_for(context, p.n * pixels * (p.c / kWidth));
  if (p.backward)
    launch(context, grid, kThreads, 0, backward<T, kWidth>, p, as<T>(b.x), as<T>(b.y), as<T>(b.dy),
           as<T>(b.dx));
  else
    launch(context, grid, kThreads, 0, forward<T, kWidth>, p, as<T>(b.x), as<T>(b.y));
}

void run(const PoolProblem& p, const PoolBuffers& b, const ExecutionContext& context) {
  with_packs(p.dtype, p.c,
             [&](auto element, auto width) { run_as<decltype(element), width()>(p, b, context); });
}

constexpr PoolSolver solvers[] = {{"gather", [](const PoolProblem&) { return true; }, run}};
const bool offered = offer<PoolProblem, PoolBuffers>("pool", {{solvers, 1}});

}  // namespace
}  // namespace groupconv::cuda
