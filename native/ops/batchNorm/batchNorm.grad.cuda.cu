// Backward: one pass over memory for the sums, one for dx. With S bytes per activation: x and dy are read
// twice, dx is written: 5 S. A residual gradient that replaces its target is written by the first pass, and
// the second reads it instead of dy and y: 7 S, not 8. Without a residual the mask is made again of x, which
// both passes read anyway. The second pass walks backward, because the end may still be in the cache.
#include "cuda/activate.h"
#include "cuda/offer.h"
#include "ops/batchNorm/channelRows.cuda.h"

namespace groupconv::cuda {
namespace {

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
__global__ void __launch_bounds__(kFinishChannels* kFinishLanes)
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
    launch(context, rows.grid(), rows.block(), 0, add_sums<mask, T, V>, rows.of, p.activation, b, keep,
           partials);
    launch(context, finish_grid(p.c), finish_block(), 0, finish_sums, p, rows.of.rows, rows.parts, partials,
           b, slopes, rests);
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

size_t workspace_bytes(const BatchNormProblem& p) {
  return sizeof(float) * (2 + size_t{cut(p).parts} * kSums) * static_cast<size_t>(p.c);
}

constexpr BatchNormSolver solvers[] = {
    {"channelRows", [](const BatchNormProblem& p) { return p.pass == BatchNormPass::Grad; }, grad,
     workspace_bytes},
};
const bool offered = offer<BatchNormProblem, BatchNormBuffers>("batchNorm", {{solvers, 1}});

}  // namespace
}  // namespace groupconv::cuda
