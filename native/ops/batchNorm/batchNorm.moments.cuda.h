// Training's statistics: one pass over x leaves moments of every part, a second kernel adds them up.
#pragma once
#include "ops/batchNorm/channelRows.cuda.h"

namespace groupconv::cuda::batch_norm {

// Partial moments, [parts, 3, C]: an origin, the sums of x - origin and of (x - origin)^2.
enum Moment { kOrigin, kFirst, kSecond, kMoments };

// The origin is near the mean whatever that is, so that float32 squares see deviations only: the middle one
// of the part's first three values, which one outlier can't be.
template <class T, int V>
__device__ __forceinline__ void find_origin(const ChannelRows& of, const T* x, int64_t channel,
                                            float (&origin)[V]) {
  const int64_t first = blockIdx.y * of.rows_per_part;
  Pack<T, V> values[3];
#pragma unroll
  for (int i = 0; i < 3; ++i) {
    const int64_t row = first + i < of.rows ? first + i : of.rows - 1;
    values[i] = load_pack<V>(x + row * of.channels + channel);
  }
#pragma unroll
  for (int k = 0; k < V; ++k) {
    const float a = to_float(values[0].element[k]), b = to_float(values[1].element[k]),
                c = to_float(values[2].element[k]);
    origin[k] = fmaxf(fminf(a, b), fminf(fmaxf(a, b), c));
  }
}

template <class T, int V>
__global__ void __launch_bounds__(kThreads)
    add_moments(ChannelRows of, const T* __restrict__ x, float* __restrict__ partials) {
  const int64_t channel = own_channel<V>();
  const bool inside = channel < of.channels;
  float origin[V] = {}, sums[2][V] = {};
  if (inside) {
    find_origin(of, x, channel, origin);
    for_rows<4>(of, blockIdx.y, [&](auto count, int64_t row) {
      constexpr int U = decltype(count)::value;
      Rows<U, V, T> values;
      values.load(x + row * of.channels + channel, of.channels);
#pragma unroll
      for (int k = 0; k < V; ++k) {
        float first = 0, second = 0;  // of these few rows: what is added to a long sum is short of errors
#pragma unroll
        for (int u = 0; u < U; ++u) {
          const float d = values.at(u, k) - origin[k];
          first += d;
          second = fmaf(d, d, second);
        }
        sums[0][k] += first;
        sums[1][k] += second;
      }
    });
  }
  sum_lines(sums);
  if (!inside || threadIdx.y > 0) return;
  float* target = partials + blockIdx.y * kMoments * of.channels + channel;
#pragma unroll
  for (int k = 0; k < V; ++k) {
    target[kOrigin * of.channels + k] = origin[k];
    target[kFirst * of.channels + k] = sums[0][k];
    target[kSecond * of.channels + k] = sums[1][k];
  }
}

// What apply reads; the mean's part below float32 goes into the shift.
__device__ __forceinline__ void keep_statistics(const BatchNormBuffers& b, int64_t c, double mean,
                                                double inv_std) {
  const double scale = b.weight ? inv_std * b.weight[c] : inv_std;
  const float nearest = static_cast<float>(mean);
  b.mean[c] = nearest;
  b.inv_std[c] = static_cast<float>(inv_std);
  b.scale[c] = static_cast<float>(scale);
  b.shift[c] = static_cast<float>((b.bias ? b.bias[c] : 0.0) - (mean - nearest) * scale);
}

// Adds up the parts' moments, about the first part's origin, in float64.
static __global__ void __launch_bounds__(kFinishChannels* kFinishLanes)
    finish_statistics(BatchNormProblem p, ChannelRows of, int parts, const float* __restrict__ partials,
                      BatchNormBuffers b) {
  const int64_t c = int64_t{blockIdx.x} * kFinishChannels + threadIdx.x;
  const bool inside = c < of.channels;
  double sums[2] = {}, origin = 0;
  if (inside) {
    origin = partials[kOrigin * of.channels + c];
#pragma unroll 4
    for (int part = threadIdx.y; part < parts; part += kFinishLanes) {
      const float* moments = partials + part * kMoments * of.channels + c;
      const double away = moments[kOrigin * of.channels] - origin;
      const double first = moments[kFirst * of.channels], second = moments[kSecond * of.channels];
      const int64_t rest = of.rows - part * of.rows_per_part;
      const double rows = static_cast<double>(rest < of.rows_per_part ? rest : of.rows_per_part);
      sums[0] += first + rows * away;
      sums[1] += second + away * (2 * first + rows * away);
    }
  }
  sum_lanes(sums);
  if (!inside || threadIdx.y > 0) return;
  const double count = static_cast<double>(of.rows), about_origin = sums[0] / count;
  const double mean = origin + about_origin, squares = sums[1] - sums[0] * about_origin;
  const double variance = squares < 0 ? 0 : squares / count;  // NaN stays NaN
  keep_statistics(b, c, mean, 1 / sqrt(variance + p.eps));
  const auto update = [&](float* running, double batch) {
    if (running) running[c] = static_cast<float>((1.0 - p.momentum) * running[c] + p.momentum * batch);
  };
  update(b.running_mean, mean);
  update(b.running_var, variance * (count / (count - 1)));
}

// partials: moments_bytes.
static void queue_moments(const BatchNormProblem& p, const BatchNormBuffers& b, float* partials,
                          const ExecutionContext& context) {
  with_packs(p.dtype, p.c, [&](auto element, auto width) {
    using T = decltype(element);
    constexpr int V = decltype(width)::value;
    const Cut rows = cut(p, V);
    launch(context, rows.grid(), rows.block(), 0, add_moments<T, V>, rows.of, as<T>(b.x), partials);
    launch(context, finish_grid(p.c), finish_block(), 0, finish_statistics, p, rows.of,
           static_cast<int>(rows.parts), static_cast<const float*>(partials), b);
  });
}
inline size_t moments_bytes(const BatchNormProblem& p) {
  return sizeof(float) * cut(p).parts * kMoments * static_cast<size_t>(p.c);
}

}  // namespace groupconv::cuda::batch_norm
