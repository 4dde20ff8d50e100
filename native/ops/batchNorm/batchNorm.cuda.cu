// Training: one pass over memory for the statistics, one that applies them; evaluation: the second alone.
// With x of S bytes: 2 S read and S written, S more read with a residual: the least without kept copies of x.
// The second pass walks backward, because the end of x may still be in the cache.
#include "cuda/activate.h"
#include "cuda/offer.h"
#include "ops/batchNorm/batchNorm.moments.cuda.h"

namespace groupconv::cuda {
namespace {

using namespace batch_norm;

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
  queue_moments(p, b, static_cast<float*>(b.workspace), context);
  queue_apply(p, b, context);
}
size_t train_workspace(const BatchNormProblem& p) { return moments_bytes(p); }

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
