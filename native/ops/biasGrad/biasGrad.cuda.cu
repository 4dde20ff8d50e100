// Column sums of dy [rows, channels], rows = n * pixels. Two passes: blocks sum a part of the rows in
// float32, a few numbers per thread; then the parts are added in float64.
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

// The block's shape: `lanes` threads along packs of channels, the others along rows.
struct Tiling {
  int lanes, rows;
  int64_t part_rows, parts;
};
Tiling tiling_of(const BiasGradProblem& p, int width) {
  Tiling t{1, 0, 0, 0};
  while (t.lanes < kMostLanes && t.lanes * width < p.c) t.lanes *= 2;
  t.rows = kThreads / t.lanes;
  t.part_rows = t.rows * kRowsOfThread;
  t.parts = ceil_div(p.n * p.pixels, t.part_rows);
  return t;
}

// parts[part, c]; kWidth channels per thread.
template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads, 4)
    sum_parts(int64_t rows, int64_t channels, int64_t part_rows, const T* __restrict__ dy,
              float* __restrict__ parts) {
  __shared__ float sums[kThreads][kWidth + 1];
  const int64_t channel = (int64_t{blockIdx.y} * blockDim.x + threadIdx.x) * kWidth;
  const int64_t part = blockIdx.x, last = std::min((part + 1) * part_rows, rows);
  const int self = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x);
  float sum[kWidth] = {};
  if (channel < channels)
    for (int64_t row = part * part_rows + threadIdx.y; row < last; row += blockDim.y) {
      const auto pack = load_pack<kWidth>(dy + row * channels + channel);
#pragma unroll
      for (int k = 0; k < kWidth; ++k) sum[k] += to_float(pack.element[k]);
    }
#pragma unroll
  for (int k = 0; k < kWidth; ++k) sums[self][k] = sum[k];
  for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.y < half)
#pragma unroll
      for (int k = 0; k < kWidth; ++k) sums[self][k] += sums[self + half * blockDim.x][k];
  }
  if (threadIdx.y == 0 && channel < channels)
#pragma unroll
    for (int k = 0; k < kWidth; ++k) parts[part * channels + channel + k] = sums[self][k];
}

__global__ void __launch_bounds__(kAddLanes* kAddRows)
    add_parts(int64_t count, int64_t channels, bool accumulate, const float* __restrict__ parts,
              float* __restrict__ dbias) {
  __shared__ double sums[kAddRows][kAddLanes];
  const int64_t channel = int64_t{blockIdx.x} * kAddLanes + threadIdx.x;
  double sum = 0;
  if (channel < channels)
    for (int64_t part = threadIdx.y; part < count; part += kAddRows) sum += parts[part * channels + channel];
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y > 0 || channel >= channels) return;
  sum = accumulate ? dbias[channel] : 0;
  for (int row = 0; row < kAddRows; ++row) sum += sums[row][threadIdx.x];
  dbias[channel] = static_cast<float>(sum);
}

template <class T, int kWidth>
void run_as(const BiasGradProblem& p, const BiasGradBuffers& b, const ExecutionContext& context) {
  const Tiling t = tiling_of(p, kWidth);
  const auto parts = static_cast<float*>(b.workspace);
  const auto blocks = static_cast<unsigned>(ceil_div(p.c, int64_t{t.lanes} * kWidth));
  launch(context, dim3(static_cast<unsigned>(t.parts), blocks), dim3(t.lanes, t.rows), 0,
         sum_parts<T, kWidth>, p.n * p.pixels, p.c, t.part_rows, as<T>(b.dy), parts);
  launch(context, dim3(static_cast<unsigned>(ceil_div(p.c, kAddLanes))), dim3(kAddLanes, kAddRows), 0,
         add_parts, t.parts, p.c, p.accumulate, parts, b.dbias);
}

void run(const BiasGradProblem& p, const BiasGradBuffers& b, const ExecutionContext& context) {
  with_packs(p.dtype, p.c,
             [&](auto element, auto width) { run_as<decltype(element), width()>(p, b, context); });
}

// Most for the narrowest packs, whose blocks have the fewest rows.
size_t workspace_bytes(const BiasGradProblem& p) {
  return static_cast<size_t>(tiling_of(p, 1).parts * p.c) * sizeof(float);
}

constexpr BiasGradSolver solvers[] = {
    {"parts", [](const BiasGradProblem&) { return true; }, run, workspace_bytes}};
const bool offered = offer<BiasGradProblem, BiasGradBuffers>("biasGrad", {{solvers, 1}});

}  // namespace
}  // namespace groupconv::cuda
