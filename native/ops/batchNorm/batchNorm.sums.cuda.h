// Backward's sums: one pass over x and dy leaves those of every part, a second kernel adds them up and makes
// dweight, dbias and what dx needs of them.
#pragma once
#include "cuda/activate.h"
#include "ops/batchNorm/channelRows.cuda.h"

namespace groupconv::cuda::batch_norm {

// The output whose place in the activation's range decides where g is dy and where zero.
enum class Mask { None, Output, Recomputed };

constexpr int kTogether =
    2;  // rows: more would need more registers than three blocks per multiprocessor have

// What g is made of, at U rows of a thread.
template <int U, int V, class T>
struct Gradient {
  Rows<U, V, T> dy, y;
  template <Mask mask>
  __device__ __forceinline__ void load(const T* dys, const T* ys, int64_t at, int64_t channels) {
    dy.load(dys + at, channels);
    if constexpr (mask == Mask::Output) y.load(ys + at, channels);
  }
  // d = x - mean there. A recomputed output is rounded as forward rounded it.
  template <Mask mask>
  __device__ __forceinline__ float at(int u, int k, Activation kind, float d, float scale,
                                      float shift) const {
    if constexpr (mask == Mask::None) return dy.at(u, k);
    const float output =
        mask == Mask::Output ? y.at(u, k) : to_float(from_float<T>(normalised(d, scale, shift)));
    return stops_gradient(kind, output) ? 0.0f : dy.at(u, k);
  }
};

// Partial sums, [parts, 3, C]: of g, of g * d and of d = x - mean. The last one tells what rounding took from
// the mean.
enum Sum { kOfG, kOfGd, kOfD, kSums };

// `keep` gets g, where it isn't null.
template <Mask mask, class T, int V>
__global__ void __launch_bounds__(kThreads)
    add_sums(ChannelRows of, Activation activation, BatchNormBuffers b, T* __restrict__ keep,
             float* __restrict__ partials) {
  const int64_t channel = own_channel<V>();
  const bool inside = channel < of.channels;
  float sums[kSums][V] = {};
  if (inside) {
    float mean[V], scale[V], shift[V];
    load_channels<V>(b.mean + channel, mean);
    load_channels<V>(b.scale + channel, scale);
    load_channels<V>(b.shift + channel, shift);
    for_rows<kTogether>(of, blockIdx.y, [&](auto count, int64_t row) {
      constexpr int U = decltype(count)::value;
      const int64_t at = row * of.channels + channel;
      Rows<U, V, T> x;
      Gradient<U, V, T> gradient;
      x.load(as<T>(b.x) + at, of.channels);
      gradient.template load<mask>(as<T>(b.dy), as<T>(b.y), at, of.channels);
#pragma unroll
      for (int k = 0; k < V; ++k) {
        float of_g = 0, of_gd = 0, of_d = 0;
#pragma unroll
        for (int u = 0; u < U; ++u) {
          const float d = x.at(u, k) - mean[k];
          const float g = gradient.template at<mask>(u, k, activation, d, scale[k], shift[k]);
          of_g += g;
          of_gd = fmaf(g, d, of_gd);
          of_d += d;
          gradient.dy.pack[u].element[k] = from_float<T>(g);
        }
        sums[kOfG][k] += of_g;
        sums[kOfGd][k] += of_gd;
        sums[kOfD][k] += of_d;
      }
      if (keep) gradient.dy.store(keep + at, of.channels);
    });
  }
  sum_lines(sums);
  if (!inside || threadIdx.y > 0) return;
  float* target = partials + blockIdx.y * kSums * of.channels + channel;
#pragma unroll
  for (int i = 0; i < kSums; ++i)
#pragma unroll
    for (int k = 0; k < V; ++k) target[i * of.channels + k] = sums[i][k];
}

// dx = scale * g + slope * d + rest, the last two [C] each.
static __global__ void __launch_bounds__(kFinishChannels* kFinishLanes)
    finish_sums(BatchNormProblem p, int64_t rows, int parts, const float* __restrict__ partials,
                BatchNormBuffers b, float* __restrict__ slopes, float* __restrict__ rests) {
  const int64_t c = int64_t{blockIdx.x} * kFinishChannels + threadIdx.x;
  const bool inside = c < p.c;
  double sums[kSums] = {};
  if (inside)
#pragma unroll 4
    for (int part = threadIdx.y; part < parts; part += kFinishLanes)
#pragma unroll
      for (int i = 0; i < kSums; ++i) sums[i] += partials[(int64_t{part} * kSums + i) * p.c + c];
  sum_lanes(sums);
  if (!inside || threadIdx.y > 0) return;
  const double count = static_cast<double>(rows), inv_std = b.inv_std[c], scale = b.scale[c];
  const double low = p.training ? sums[kOfD] / count : 0;  // true mean = mean + low
  const double sum_g = sums[kOfG], sum_gd = sums[kOfGd] - low * sum_g;
  const double slope = p.training ? sum_gd / count * inv_std * inv_std : 0;
  slopes[c] = static_cast<float>(-scale * slope);
  rests[c] = static_cast<float>(p.training ? scale * (slope * low - sum_g / count) : 0);
  const auto put = [&](float* target, double value, bool accumulate) {
    if (target) target[c] = static_cast<float>(accumulate ? target[c] + value : value);
  };
  put(b.dweight, inv_std * sum_gd, p.accumulate_weight);
  put(b.dbias, sum_g, p.accumulate_bias);
}

// `keep` gets g, where it isn't null.
template <Mask mask, class T, int V>
static void queue_sums(const BatchNormProblem& p, const BatchNormBuffers& b, T* keep, float* slopes,
                       float* rests, float* partials, const ExecutionContext& context) {
  const Cut rows = cut(p, V);
  launch(context, rows.grid(), rows.block(), 0, add_sums<mask, T, V>, rows.of, p.activation, b, keep,
         partials);
  launch(context, finish_grid(p.c), finish_block(), 0, finish_sums, p, rows.of.rows,
         static_cast<int>(rows.parts), static_cast<const float*>(partials), b, slopes, rests);
}
// Slopes, rests and partials.
inline size_t sums_bytes(const BatchNormProblem& p) {
  return sizeof(float) * (2 + size_t{cut(p).parts} * kSums) * static_cast<size_t>(p.c);
}

}  // namespace groupconv::cuda::batch_norm
