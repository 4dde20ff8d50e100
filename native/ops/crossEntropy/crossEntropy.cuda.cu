// A warp for every sample; the loss is the mean of the samples' losses, added in a second pass. A label that
// is no class makes the loss NaN and is reported, once, at the next wait; to the gradient it adds nothing.
#include "cuda/element.h"
#include "cuda/launch.h"
#include "cuda/offer.h"
#include "cuda/reduce.h"
#include "ops/crossEntropy/crossEntropy.h"

namespace groupconv::cuda {
namespace {

constexpr int kRowsOfBlock = 8;
constexpr int kMeanThreads = 512;

// Of one sample's logits, the same for all lanes.
struct Row {
  float top, log_sum, sum;  // log(sum of exp(x - top)); the plain sum of x - top
};
template <class T>
__device__ __forceinline__ Row read_row(const T* __restrict__ x, int64_t classes) {
  float top = -INFINITY, exponentials = 0, sum = 0;
  for (int64_t c = threadIdx.x; c < classes; c += kWarp) top = Largest()(top, to_float(x[c]));
  top = reduce_warp(top, Largest());
  for (int64_t c = threadIdx.x; c < classes; c += kWarp) {
    const float distance = to_float(x[c]) - top;
    exponentials += expf(distance);
    sum += distance;
  }
  return {top, logf(reduce_warp(exponentials, Sum())), reduce_warp(sum, Sum())};
}

// The sample of this warp; all its lanes have it or none.
__device__ __forceinline__ int64_t sample() { return int64_t{blockIdx.x} * kRowsOfBlock + threadIdx.y; }

template <class T>
__global__ void __launch_bounds__(kWarp* kRowsOfBlock)
    forward(CrossEntropyProblem p, Faults* faults, const T* __restrict__ logits,
            const int32_t* __restrict__ labels, float* __restrict__ losses) {
  const int64_t n = sample();
  if (n >= p.n) return;
  const T* const x = logits + n * p.classes;
  const Row row = read_row(x, p.classes);
  if (threadIdx.x > 0) return;
  const int32_t label = labels[n];
  if (label < 0 || label >= p.classes) {
    report(faults, Fault::CrossEntropyLabel, n, label, p.classes);
    losses[n] = NAN;
    return;
  }
  const float s = p.label_smoothing;  // all logits less the top one: their differences are what counts
  float loss = row.log_sum - (1 - s) * (to_float(x[label]) - row.top);
  if (s > 0) loss -= s * (row.sum / static_cast<float>(p.classes));
  losses[n] = loss;
}

// One block.
__global__ void __launch_bounds__(kMeanThreads)
    mean(int64_t count, const float* __restrict__ losses, float* __restrict__ loss) {
  double sum = 0;
  for (int64_t n = threadIdx.x; n < count; n += kMeanThreads) sum += losses[n];
  sum = reduce_block<kMeanThreads>(sum, Sum());
  if (threadIdx.x == 0) *loss = static_cast<float>(sum / static_cast<double>(count));
}

template <class T>
__global__ void __launch_bounds__(kWarp* kRowsOfBlock)
    backward(CrossEntropyProblem p, const T* __restrict__ logits, const int32_t* __restrict__ labels,
             const float* __restrict__ dloss, T* __restrict__ dlogits) {
  const int64_t n = sample();
  if (n >= p.n) return;
  const T* const x = logits + n * p.classes;
  T* const dx = dlogits + n * p.classes;
  const Row row = read_row(x, p.classes);
  const int32_t label = labels[n];
  const bool known = label >= 0 && label < p.classes;
  const float scale = known ? *dloss / static_cast<float>(p.n) : 0;
  const float everywhere = p.label_smoothing / static_cast<float>(p.classes);
  for (int64_t c = threadIdx.x; c < p.classes; c += kWarp) {
    const float target = (c == label ? 1 - p.label_smoothing : 0) + everywhere;
    const float gradient = scale * (expf(to_float(x[c]) - row.top - row.log_sum) - target);
    dx[c] = from_float<T>(p.accumulate ? to_float(dx[c]) + gradient : gradient);
  }
}

void run(const CrossEntropyProblem& p, const CrossEntropyBuffers& b, const ExecutionContext& context) {
  const dim3 grid(static_cast<unsigned>((p.n + kRowsOfBlock - 1) / kRowsOfBlock)), block(kWarp, kRowsOfBlock);
  const auto losses = static_cast<float*>(b.workspace);
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    if (p.backward)
      launch(context, grid, block, 0, backward<T>, p, as<T>(b.logits), b.labels, b.dloss, as<T>(b.dlogits));
    else
      launch(context, grid, block, 0, forward<T>, p, cuda_context(context).faults(), as<T>(b.logits),
             b.labels, losses);
  });
  if (!p.backward) launch(context, dim3(1), kMeanThreads, 0, mean, p.n, losses, b.loss);
}

size_t workspace_bytes(const CrossEntropyProblem& p) {
  return p.backward ? 0 : static_cast<size_t>(p.n) * sizeof(float);
}

constexpr CrossEntropySolver solvers[] = {
    {"rows", [](const CrossEntropyProblem&) { return true; }, run, workspace_bytes}};
const bool offered = offer<CrossEntropyProblem, CrossEntropyBuffers>("crossEntropy", {{solvers, 1}});

}  // namespace
}  // namespace groupconv::cuda
