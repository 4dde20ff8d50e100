// Training: one pass over memory for the statistics, one that applies them; evaluation: the second alone.
// With x of S bytes: 2 S read and S written, S more read with a residual: the least without kept copies of x.
// The second pass walks backward, because the end of x may still be in the cache.
#include "cuda/activate.h"
#include "cuda/offer.h"
#include "ops/batchNorm/channelRows.cuda.h"

namespace groupconv::cuda {
namespace {

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
__global__ void __launch_bounds__(kFinishChannels* kFinishLanes)
    finish_statistics(BatchNormProblem p, ChannelRows of, int parts, const float* __restrict__ partials,
                      BatchNormBuffers b) {
  const int64_t c = int64_t{blockIdx.x} * kFinishChannels + threadIdx.x;
  const bool inside = c < of.channels;
  double sums[2] = {}, origin = 0;
  if (inside) {
    origin = partials[kOrigin * of.channels + c];
    for (int part = threadIdx.y; part < parts; part += kFinishLanes) {
      const float* moments = partials + part * kMoments * of.channels + c;
      const double away = moments[kOrigin * of.channels] - origin, first = moments[kFirst * of.channels],
                   second = moments[kSecond * of.channels];
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

__global__ void __launch_bounds__(kThreads) take_running(BatchNormProblem p, BatchNormBuffers b) {
  GROUPCONV_GRID_STRIDE(c, p.c)
  keep_statistics(b, c, b.running_mean[c], 1 / sqrt(double{b.running_var[c]} + p.eps));
}

template <class T, int V>
__global__ void __launch_bounds__(kThreads)
    apply(ChannelRows of, Activation activation, const float* __restrict__ means,
          const float* __restrict__ scales, const float* __restrict__ shifts, const T* __restrict__ x,
          const T* __restrict__ residual, T* __restrict__ y) {
  const int64_t channel = own_channel<V>();
  if (channel >= of.channels) return;
  float mean[V], scale[V], shift[V];
  load_channels<V>(means + channel, mean);
  load_channels<V>(scales + channel, scale);
  load_channels<V>(shifts + channel, shift);
  for_rows<4>(of, gridDim.y - 1 - blockIdx.y, [&](auto count, int64_t row) {
    constexpr int U = decltype(count)::value;
    const int64_t at = row * of.channels + channel;
    Rows<U, V, T> values, added{};
    values.load(x + at, of.channels);
    if (residual) added.load(residual + at, of.channels);
#pragma unroll
    for (int u = 0; u < U; ++u)
#pragma unroll
      for (int k = 0; k < V; ++k) {
        float v = normalised(values.at(u, k) - mean[k], scale[k], shift[k]);
        if (residual) v += added.at(u, k);
        values.pack[u].element[k] = from_float<T>(activate(activation, v));
      }
    values.store(y + at, of.channels);
  });
}

void queue_apply(const BatchNormProblem& p, const BatchNormBuffers& b, const ExecutionContext& context) {
  with_packs(p.dtype, p.c, [&](auto element, auto width) {
    using T = decltype(element);
    constexpr int V = decltype(width)::value;
    const Cut rows = cut(p, V);
    launch(context, rows.grid(), rows.block(), 0, apply<T, V>, rows.of, p.activation, b.mean, b.scale,
           b.shift, as<T>(b.x), as<T>(b.residual), as<T>(b.y));
  });
}

void train(const BatchNormProblem& p, const BatchNormBuffers& b, const ExecutionContext& context) {
  auto* partials = static_cast<float*>(b.workspace);
  with_packs(p.dtype, p.c, [&](auto element, auto width) {
    using T = decltype(element);
    constexpr int V = decltype(width)::value;
    const Cut rows = cut(p, V);
    launch(context, rows.grid(), rows.block(), 0, add_moments<T, V>, rows.of, as<T>(b.x), partials);
    launch(context, finish_grid(p.c), finish_block(), 0, finish_statistics, p, rows.of, rows.parts, partials,
           b);
  });
  queue_apply(p, b, context);
}
size_t train_workspace(const BatchNormProblem& p) {
  return sizeof(float) * cut(p).parts * kMoments * static_cast<size_t>(p.c);
}

void statistics(const BatchNormProblem& p, const BatchNormBuffers& b, const ExecutionContext& context) {
  launch(context, grid_for(context, p.c), kThreads, 0, take_running, p, b);
}

constexpr int kStatistics = 4;

void eval(const BatchNormProblem& p, const BatchNormBuffers& buffers, const ExecutionContext& context) {
  BatchNormBuffers b = buffers;
  float** const rows[kStatistics] = {&b.mean, &b.inv_std, &b.scale, &b.shift};
  for (int row = 0; row < kStatistics; ++row) *rows[row] = static_cast<float*>(b.workspace) + row * p.c;
  statistics(p, b, context);
  queue_apply(p, b, context);
}
size_t eval_workspace(const BatchNormProblem& p) {
  return sizeof(float) * kStatistics * static_cast<size_t>(p.c);
}

constexpr BatchNormSolver solvers[] = {
    {"channelRows", [](const BatchNormProblem& p) { return p.pass == BatchNormPass::Train; }, train,
     train_workspace},
    {"channelRows", [](const BatchNormProblem& p) { return p.pass == BatchNormPass::Eval; }, eval,
     eval_workspace},
    {"channelRows", [](const BatchNormProblem& p) { return p.pass == BatchNormPass::Statistics; },
     statistics},
};
const bool offered = offer<BatchNormProblem, BatchNormBuffers>("batchNorm", {{solvers, 3}});

}  // namespace
}  // namespace groupconv::cuda
