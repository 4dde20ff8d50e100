// Pooling over N H W C, a thread for 16 bytes of channels of one pixel where the channels allow it. Gradients
// are gathered: each pixel of x asks the windows that cover it, so nobody adds to another's sum. For max, a
// first kernel leaves where in each window its first maximum is.
//
// Bytes, for max 3x3 at stride 2 with x of S bytes in 16 bits: x read, S / 8 of places written and read, S /
// 4 of dy read, S written: 2.5 S, as much as with a look at y. Windows overlap in the first-level cache.
#pragma once
#include "cuda/element.h"
#include "cuda/launch.h"
#include "ops/pool/pool.h"

namespace groupconv::cuda::pool {

// What a test breaks on purpose, to see that it notices.
enum class Flaw { None, LastMaximum, ClippedPlace };

// Offsets within the images of one launch fit 31 bits.
struct Extents {
  int c, h, w, p, q;
};
// The pixel and the first channel of item i of images [n, height, width, channels / kWidth].
struct Item {
  int n, h, w, channel;
};
template <int kWidth>
__device__ __forceinline__ Item item_at(unsigned i, unsigned height, unsigned width, unsigned channels) {
  const unsigned packs = channels / kWidth, pixel = i / packs, row = pixel / width;
  const auto narrow = [](unsigned value) { return static_cast<int>(value); };
  return {narrow(row / height), narrow(row % height), narrow(pixel % width), narrow(i % packs * kWidth)};
}

// Offsets of channel c of pixels of x and of y.
__device__ __forceinline__ int x_at(const Extents& e, int n, int h, int w, int c) {
  return ((n * e.h + h) * e.w + w) * e.c + c;
}
__device__ __forceinline__ int y_at(const Extents& e, int n, int h, int w, int c) {
  return ((n * e.p + h) * e.q + w) * e.c + c;
}

struct Range {
  int begin, end;
};
__device__ __forceinline__ Range narrow(PoolRange range) {
  return {static_cast<int>(range.begin), static_cast<int>(range.end)};
}

template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads, 2)
    forward(PoolProblem p, Extents e, int items, const T* __restrict__ x, T* __restrict__ y) {
  const bool is_max = p.kind == PoolKind::Max;
  GROUPCONV_GRID_STRIDE(i, items) {
    const Item at = item_at<kWidth>(static_cast<unsigned>(i), e.p, e.q, e.c);
    const PoolRange rows = pool_rows(p, at.h), columns = pool_columns(p, at.w);
    float result[kWidth];
#pragma unroll
    for (int k = 0; k < kWidth; ++k) result[k] = is_max ? -INFINITY : 0;
    for (int h = narrow(rows).begin; h < narrow(rows).end; ++h)
      for (int w = narrow(columns).begin; w < narrow(columns).end; ++w) {
        const auto pack = load_pack<kWidth>(x + x_at(e, at.n, h, w, at.channel));
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
    store_pack(y + y_at(e, at.n, at.h, at.w, at.channel), pack);
  }
}

// Where in its window, padding included, the first maximum or the first NaN of each output is: row * kernel_w
// + column.
template <class T, int kWidth, class Place, Flaw kFlaw>
__global__ void __launch_bounds__(kThreads, 2)
    find_maxima(PoolProblem p, Extents e, int items, const T* __restrict__ x, Place* __restrict__ places) {
  GROUPCONV_GRID_STRIDE(i, items) {
    const Item at = item_at<kWidth>(static_cast<unsigned>(i), e.p, e.q, e.c);
    const Range rows = narrow(pool_rows(p, at.h)), columns = narrow(pool_columns(p, at.w));
    const int top = kFlaw == Flaw::ClippedPlace ? rows.begin : at.h * p.stride_h - p.pad_top;
    const int left = kFlaw == Flaw::ClippedPlace ? columns.begin : at.w * p.stride_w - p.pad_left;
    float best[kWidth];
    Pack<Place, kWidth> place;
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      best[k] = -INFINITY;
      place.element[k] = static_cast<Place>((rows.begin - top) * p.kernel_w + columns.begin - left);
    }
    for (int h = rows.begin; h < rows.end; ++h)
      for (int w = columns.begin; w < columns.end; ++w) {
        const auto pack = load_pack<kWidth>(x + x_at(e, at.n, h, w, at.channel));
        const auto here = static_cast<Place>((h - top) * p.kernel_w + w - left);
#pragma unroll
        for (int k = 0; k < kWidth; ++k) {
          const float value = to_float(pack.element[k]);
          // True for the first NaN, too.
          const bool more = kFlaw == Flaw::LastMaximum ? !(value < best[k]) : !(value <= best[k]);
          if (more && best[k] == best[k]) best[k] = value, place.element[k] = here;
        }
      }
    store_pack(places + y_at(e, at.n, at.h, at.w, at.channel), place);
  }
}

// The outputs whose windows contain an input.
__device__ __forceinline__ Range windows_over(PoolKind kind, int input, int input_extent, int output_extent,
                                              int kernel, int stride, int pad) {
  if (kind == PoolKind::AdaptiveAvg) {
    const int64_t before = int64_t{input} * output_extent, after = before + output_extent + input_extent - 1;
    return {static_cast<int>(before / input_extent), static_cast<int>(after / input_extent)};
  }
  // Windows that start at `before` or earlier end above the input.
  const int last_start = input + pad, before = last_start - kernel;
  return {before < 0 ? 0 : before / stride + 1, std::min(last_start / stride + 1, output_extent)};
}

// `take(sum, output, oh, ow)` adds what the output at that offset gives.
template <class T, int kWidth, class Take>
__device__ __forceinline__ void gather(const PoolProblem& p, const Extents& e, const Item& at, T* dx,
                                       const Take& take) {
  const Range ps = windows_over(p.kind, at.h, e.h, e.p, p.kernel_h, p.stride_h, p.pad_top);
  const Range qs = windows_over(p.kind, at.w, e.w, e.q, p.kernel_w, p.stride_w, p.pad_left);
  float sum[kWidth] = {};
  for (int oh = ps.begin; oh < ps.end; ++oh)
    for (int ow = qs.begin; ow < qs.end; ++ow) take(sum, y_at(e, at.n, oh, ow, at.channel), oh, ow);
  T* const target = dx + x_at(e, at.n, at.h, at.w, at.channel);
  Pack<T, kWidth> pack{};
  if (p.accumulate) pack = load_pack<kWidth>(target);
#pragma unroll
  for (int k = 0; k < kWidth; ++k)
    pack.element[k] = from_float<T>(p.accumulate ? to_float(pack.element[k]) + sum[k] : sum[k]);
  store_pack(target, pack);
}

template <class T, int kWidth, class Place>
__global__ void __launch_bounds__(kThreads, 2)
    gather_maxima(PoolProblem p, Extents e, int items, const Place* __restrict__ places,
                  const T* __restrict__ dy, T* __restrict__ dx) {
  GROUPCONV_GRID_STRIDE(i, items) {
    const Item at = item_at<kWidth>(static_cast<unsigned>(i), e.h, e.w, e.c);
    gather<T, kWidth>(p, e, at, dx, [&](float(&sum)[kWidth], int output, int oh, int ow) {
      const auto place = load_pack<kWidth>(places + output);
      const auto gradient = load_pack<kWidth>(dy + output);
      const int row = at.h + p.pad_top - oh * p.stride_h, column = at.w + p.pad_left - ow * p.stride_w;
      const auto here = static_cast<Place>(row * p.kernel_w + column);
#pragma unroll
      for (int k = 0; k < kWidth; ++k)
        if (place.element[k] == here) sum[k] += to_float(gradient.element[k]);
    });
  }
}

template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads, 2)
    gather_means(PoolProblem p, Extents e, int items, const T* __restrict__ dy, T* __restrict__ dx) {
  GROUPCONV_GRID_STRIDE(i, items) {
    const Item at = item_at<kWidth>(static_cast<unsigned>(i), e.h, e.w, e.c);
    gather<T, kWidth>(p, e, at, dx, [&](float(&sum)[kWidth], int output, int oh, int ow) {
      const auto gradient = load_pack<kWidth>(dy + output);
      const float scale = 1 / static_cast<float>(pool_divisor(p, pool_rows(p, oh), pool_columns(p, ow)));
#pragma unroll
      for (int k = 0; k < kWidth; ++k) sum[k] += to_float(gradient.element[k]) * scale;
    });
  }
}

constexpr int64_t kMostElements = (int64_t{1} << 31) - 1;  // of x, and of y, in one launch
inline bool fits(const PoolProblem& p) {
  return p.h * p.w * p.c <= kMostElements && p.p * p.q * p.c <= kMostElements;
}

// A byte holds a place in nearly every window.
inline bool places_are_bytes(const PoolProblem& p) { return int64_t{p.kernel_h} * p.kernel_w <= 256; }
inline size_t place_bytes(const PoolProblem& p) {
  if (!p.backward || p.kind != PoolKind::Max) return 0;
  return static_cast<size_t>(p.n * p.p * p.q * p.c) * (places_are_bytes(p) ? 1 : sizeof(uint32_t));
}

template <class T, int kWidth, class Place, Flaw kFlaw>
void queue_max_grad(const PoolProblem& p, const Extents& e, const T* x, const T* dy, T* dx, Place* places,
                    int x_items, int y_items, const ExecutionContext& context) {
  launch(context, grid_for(context, y_items), kThreads, 0, find_maxima<T, kWidth, Place, kFlaw>, p, e,
         y_items, x, places);
  launch(context, grid_for(context, x_items), kThreads, 0, gather_maxima<T, kWidth, Place>, p, e, x_items,
         static_cast<const Place*>(places), dy, dx);
}

// The images in as many launches as their offsets ask for.
template <class T, int kWidth, Flaw kFlaw>
void queue(const PoolProblem& p, const PoolBuffers& b, const ExecutionContext& context) {
  const auto narrow = [](int64_t value) { return static_cast<int>(value); };
  const Extents e{narrow(p.c), narrow(p.h), narrow(p.w), narrow(p.p), narrow(p.q)};
  const int64_t x_image = p.h * p.w * p.c, y_image = p.p * p.q * p.c;
  const int64_t most = std::max<int64_t>(1, kMostElements / std::max(x_image, y_image));
  for (int64_t first = 0; first < p.n; first += most) {
    const int64_t images = std::min(most, p.n - first);
    const int x_items = narrow(images * x_image / kWidth), y_items = narrow(images * y_image / kWidth);
    const int64_t y_first = first * y_image;
    const T* const dy = as<T>(b.dy) + y_first;
    if (!p.backward)
      launch(context, grid_for(context, y_items), kThreads, 0, forward<T, kWidth>, p, e, y_items,
             as<T>(b.x) + first * x_image, as<T>(b.y) + y_first);
    else if (p.kind != PoolKind::Max)
      launch(context, grid_for(context, x_items), kThreads, 0, gather_means<T, kWidth>, p, e, x_items, dy,
             as<T>(b.dx) + first * x_image);
    else if (places_are_bytes(p))
      queue_max_grad<T, kWidth, uint8_t, kFlaw>(
          p, e, as<T>(b.x) + first * x_image, dy, as<T>(b.dx) + first * x_image,
          static_cast<uint8_t*>(b.workspace) + y_first, x_items, y_items, context);
    else
      queue_max_grad<T, kWidth, uint32_t, kFlaw>(
          p, e, as<T>(b.x) + first * x_image, dy, as<T>(b.dx) + first * x_image,
          static_cast<uint32_t*>(b.workspace) + y_first, x_items, y_items, context);
  }
}

template <Flaw kFlaw = Flaw::None>
void run(const PoolProblem& p, const PoolBuffers& b, const ExecutionContext& context) {
  with_packs(p.dtype, p.c,
             [&](auto element, auto width) { queue<decltype(element), width(), kFlaw>(p, b, context); });
}

}  // namespace groupconv::cuda::pool
