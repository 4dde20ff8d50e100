// Column sums of dy [groups, rows, channels], or of dy x: a group is an image, or all of them. Two passes:
// blocks sum a part of a group's rows in float32, a few numbers per thread; then the parts are added in
// float64.
#include "cuda/element.h"
#include "cuda/launch.h"
#include "cuda/offer.h"
#include "ops/biasGrad/biasGrad.h"

namespace groupconv::cuda {
namespace {

constexpr int kMostLanes = 32;         // threads side by side along the channels
constexpr int64_t kRowsOfThread = 64;  // summed by one thread
constexpr int kAddLanes = 32, kAddRows = 16;

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// dy [groups, rows, channels] in memory.
struct Extents {
  int64_t groups, rows, channels;
};
Extents extents_of(const BiasGradProblem& p) {
  const int64_t channels = p.pixels == 1 ? p.c : p.block;
  return {p.c / channels, p.n * p.pixels, channels};
}

// The block's shape: `lanes` threads along packs of channels, the others along rows.
struct Tiling {
  int lanes, rows;
  int64_t part_rows, parts;  // of a group
};
Tiling tiling_of(const BiasGradProblem& p, int width) {
  const Extents e = extents_of(p);
  Tiling t{1, 0, 0, 0};
  while (t.lanes < kMostLanes && t.lanes * width < e.channels) t.lanes *= 2;
  t.rows = kThreads / t.lanes;
  t.part_rows = t.rows * kRowsOfThread;
  t.parts = ceil_div(e.rows, t.part_rows);
  return t;
}

// sums[group, part, channel]; kWidth channels per thread.
template <class T, int kWidth, bool kScaled>
__global__ void __launch_bounds__(kThreads, 4)
    sum_parts(Extents e, int64_t part_rows, int64_t parts, const T* __restrict__ dy, const T* __restrict__ x,
              float* __restrict__ sums) {
  __shared__ float shared[kThreads][kWidth + 1];
  const int64_t channel = (int64_t{blockIdx.y} * blockDim.x + threadIdx.x) * kWidth;
  const int64_t group = blockIdx.x / parts, part = blockIdx.x % parts;
  const int64_t last = std::min((part + 1) * part_rows, e.rows);
  const int self = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x);
  float sum[kWidth] = {};
  if (channel < e.channels)
    for (int64_t row = part * part_rows + threadIdx.y; row < last; row += blockDim.y) {
      const int64_t at = (group * e.rows + row) * e.channels + channel;
      const auto gradients = load_pack<kWidth>(dy + at);
      if constexpr (kScaled) {
        const auto factors = load_pack<kWidth>(x + at);
#pragma unroll
        for (int k = 0; k < kWidth; ++k)
          sum[k] += to_float(gradients.element[k]) * to_float(factors.element[k]);
      } else {
#pragma unroll
        for (int k = 0; k < kWidth; ++k) sum[k] += to_float(gradients.element[k]);
      }
    }
#pragma unroll
  for (int k = 0; k < kWidth; ++k) shared[self][k] = sum[k];
  for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.y < half)
#pragma unroll
      for (int k = 0; k < kWidth; ++k) shared[self][k] += shared[self + half * blockDim.x][k];
  }
  if (threadIdx.y == 0 && channel < e.channels)
#pragma unroll
    for (int k = 0; k < kWidth; ++k) sums[int64_t{blockIdx.x} * e.channels + channel + k] = shared[self][k];
}

template <class T>
__global__ void __launch_bounds__(kAddLanes* kAddRows)
    add_parts(Extents e, int64_t parts, bool accumulate, const float* __restrict__ sums,
              T* __restrict__ dbias) {
  __shared__ double shared[kAddRows][kAddLanes];
  const int64_t i = int64_t{blockIdx.x} * kAddLanes + threadIdx.x, count = e.groups * e.channels;
  double sum = 0;
  if (i < count) {
    const float* const own = sums + i / e.channels * parts * e.channels + i % e.channels;
    for (int64_t part = threadIdx.y; part < parts; part += kAddRows) sum += own[part * e.channels];
  }
  shared[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y > 0 || i >= count) return;
  sum = accumulate ? to_float(dbias[i]) : 0;
  for (int row = 0; row < kAddRows; ++row) sum += shared[row][threadIdx.x];
  dbias[i] = from_float<T>(static_cast<float>(sum));
}

template <class T, int kWidth, bool kScaled>
void run_as(const BiasGradProblem& p, const BiasGradBuffers& b, const ExecutionContext& context) {
  const Tiling t = tiling_of(p, kWidth);
  const Extents e = extents_of(p);
  const auto sums = static_cast<float*>(b.workspace);
  const auto blocks = static_cast<unsigned>(ceil_div(e.channels, int64_t{t.lanes} * kWidth));
  launch(context, dim3(static_cast<unsigned>(e.groups * t.parts), blocks), dim3(t.lanes, t.rows), 0,
         sum_parts<T, kWidth, kScaled>, e, t.part_rows, t.parts, as<T>(b.dy), as<T>(b.x), sums);
  with_element(p.grad_dtype, [&](auto grad) {
    using Grad = decltype(grad);
    launch(context, dim3(static_cast<unsigned>(ceil_div(p.c, kAddLanes))), dim3(kAddLanes, kAddRows), 0,
           add_parts<Grad>, e, t.parts, p.accumulate, sums, as<Grad>(b.dbias));
  });
}

void run(const BiasGradProblem& p, const BiasGradBuffers& b, const ExecutionContext& context) {
  with_packs(p.dtype, extents_of(p).channels, [&](auto element, auto width) {
    using T = decltype(element);
    if (p.scaled)
      run_as<T, width(), true>(p, b, context);
    else
      run_as<T, width(), false>(p, b, context);
  });
}

// Most for the narrowest packs, whose blocks have the fewest rows.
size_t workspace_bytes(const BiasGradProblem& p) {
  return static_cast<size_t>(tiling_of(p, 1).parts * p.c) * sizeof(float);
}

// Whether the rows of a group follow one another.
bool is_in_groups(const BiasGradProblem& p) { return p.n == 1 || extents_of(p).groups == 1; }

constexpr BiasGradSolver solvers[] = {{"parts", is_in_groups, run, workspace_bytes}};
const bool offered = offer<BiasGradProblem, BiasGradBuffers>("biasGrad", {{solvers, 1}});

}  // namespace
}  // namespace groupconv::cuda
