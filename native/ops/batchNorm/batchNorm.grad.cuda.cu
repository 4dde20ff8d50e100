// Backward: one pass over memory for the sums, one for dx. With S bytes per activation: x and dy are read
// twice, dx is written: 5 S. A residual gradient that replaces its target is written by the first pass, and
// the second reads it instead of dy and y: 7 S, not 8. Without a residual the mask is made again of x, which
// both passes read anyway. The second pass walks backward, because the end may still be in the cache.
#include "cuda/offer.h"
#include "ops/batchNorm/batchNorm.sums.cuda.h"

namespace groupconv::cuda {
namespace {

using namespace batch_norm;

// dx and dresidual are read before they are written, element by element, and may be one tensor.
template <Mask mask, class T, int V>
__global__ void __launch_bounds__(kThreads)
    apply(ChannelRows of, BatchNormProblem p, BatchNormBuffers b, const float* __restrict__ slopes,
          const float* __restrict__ rests) {
  const int64_t channel = own_channel<V>();
  if (channel >= of.channels) return;
  const bool needs_x = p.training || mask == Mask::Recomputed;
  T *const dx = as<T>(b.dx), *const dresidual = as<T>(b.dresidual);
  float mean[V], scale[V], shift[V], slope[V] = {}, rest[V] = {};
  load_channels<V>(b.mean + channel, mean);
  load_channels<V>(b.scale + channel, scale);
  load_channels<V>(b.shift + channel, shift);
  if (p.training && dx) {
    load_channels<V>(slopes + channel, slope);
    load_channels<V>(rests + channel, rest);
  }
  for_rows<kTogether>(of, gridDim.y - 1 - blockIdx.y, [&](auto count, int64_t row) {
    constexpr int U = decltype(count)::value;
    const int64_t at = row * of.channels + channel;
    Rows<U, V, T> x{}, before{};
    Gradient<U, V, T> gradient;
    if (needs_x) x.load(as<T>(b.x) + at, of.channels);
    gradient.template load<mask>(as<T>(b.dy), as<T>(b.y), at, of.channels);
    if (dx && p.accumulate_x) before.load(dx + at, of.channels);
#pragma unroll
    for (int u = 0; u < U; ++u)
#pragma unroll
      for (int k = 0; k < V; ++k) {
        const float d = x.at(u, k) - mean[k];
        const float g = gradient.template at<mask>(u, k, p.activation, d, scale[k], shift[k]);
        float v = fmaf(scale[k], g, fmaf(slope[k], d, rest[k]));
        if (dx && p.accumulate_x) v += before.at(u, k);
        x.pack[u].element[k] = from_float<T>(v);
        gradient.dy.pack[u].element[k] = from_float<T>(g);
      }
    if (dx) x.store(dx + at, of.channels);
    if (!dresidual) return;
    if (p.accumulate_residual) {
      before.load(dresidual + at, of.channels);
#pragma unroll
      for (int u = 0; u < U; ++u)
#pragma unroll
        for (int k = 0; k < V; ++k)
          gradient.dy.pack[u].element[k] = from_float<T>(before.at(u, k) + gradient.dy.at(u, k));
    }
    gradient.dy.store(dresidual + at, of.channels);
  });
}

bool needs_sums(const BatchNormProblem& p, const BatchNormBuffers& b) {
  return b.dweight || b.dbias || (p.training && b.dx);
}

template <Mask mask, class T, int V>
void queue(const BatchNormProblem& p, const BatchNormBuffers& buffers, const ExecutionContext& context) {
  BatchNormBuffers b = buffers;
  const Cut rows = cut(p, V);
  float *slopes = static_cast<float*>(b.workspace), *rests = slopes + p.c, *partials = rests + p.c;
  bool kept = false;
  if (needs_sums(p, b)) {
    T* keep = p.accumulate_residual ? nullptr : as<T>(b.dresidual);
    queue_sums<mask, T, V>(p, b, keep, slopes, rests, partials, context);
    kept = keep != nullptr;
  }
  if (kept) b.dy = std::exchange(b.dresidual, nullptr);
  if (!b.dx && !b.dresidual) return;
  if (kept)
    launch(context, rows.grid(), rows.block(), 0, apply<Mask::None, T, V>, rows.of, p, b, slopes, rests);
  else
    launch(context, rows.grid(), rows.block(), 0, apply<mask, T, V>, rows.of, p, b, slopes, rests);
}

void grad(const BatchNormProblem& p, const BatchNormBuffers& b, const ExecutionContext& context) {
  with_packs(p.dtype, p.c, [&](auto element, auto width) {
    using T = decltype(element);
    constexpr int V = decltype(width)::value;
    if (p.activation == Activation::None) return queue<Mask::None, T, V>(p, b, context);
    if (b.y) return queue<Mask::Output, T, V>(p, b, context);
    queue<Mask::Recomputed, T, V>(p, b, context);
  });
}

size_t workspace_bytes(const BatchNormProblem& p) { return sums_bytes(p); }

constexpr BatchNormSolver solvers[] = {
    {"channelRows", [](const BatchNormProblem& p) { return p.pass == BatchNormPass::Grad; }, grad,
     workspace_bytes},
};
const bool offered = offer<BatchNormProblem, BatchNormBuffers>("batchNorm", {{solvers, 1}});

}  // namespace
}  // namespace groupconv::cuda
