// Three passes: the sum of squares of every chunk, one number from all of them, and the scaling.
#include "cuda/chunks.h"
#include "cuda/offer.h"
#include "cuda/reduce.h"
#include "ops/clipGradNorm/clipGradNorm.h"

namespace groupconv::cuda {
namespace {

using Batch = ChunkBatch<GradientChunk>;

constexpr int kSumThreads = 512;

// sums[first + block]: short float32 sums, added in float64.
__global__ void __launch_bounds__(kSumThreads)
    sum_squares(int64_t first, double* __restrict__ sums, const __grid_constant__ Batch batch) {
  const GradientChunk& chunk = batch.chunk[blockIdx.x];
  double sum = 0;
  for_chunk_elements(chunk.size, [&](int64_t at, auto width) {
    const auto pack = load_pack<width.kWidth>(chunk.gradient + at);
    float squares = 0;
#pragma unroll
    for (int k = 0; k < width.kWidth; ++k) squares += pack.element[k] * pack.element[k];
    sum += squares;
  });
  sum = reduce_block<kSumThreads>(sum, Sum());
  if (threadIdx.x == 0) sums[first + blockIdx.x] = sum;
}

// One block. sums[0] becomes the factor.
__global__ void __launch_bounds__(kSumThreads)
    add_sums(ClipGradNormProblem p, double* __restrict__ sums, float* __restrict__ norm) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < p.chunks; i += kSumThreads) sum += sums[i];
  sum = reduce_block<kSumThreads>(sum, Sum());
  if (threadIdx.x > 0) return;
  *norm = static_cast<float>(p.factor * sqrt(sum));
  sums[0] = clip_factor(p, sqrt(sum));
}

__global__ void __launch_bounds__(kThreads)
    scale(const double* __restrict__ factor_at, const __grid_constant__ Batch batch) {
  const float factor = static_cast<float>(*factor_at);
  if (factor == 1) return;
  const GradientChunk& chunk = batch.chunk[blockIdx.x];
  for_chunk_elements(chunk.size, [&](int64_t at, auto width) {
    auto pack = load_pack<width.kWidth>(chunk.gradient + at);
#pragma unroll
    for (int k = 0; k < width.kWidth; ++k) pack.element[k] *= factor;
    store_pack(chunk.gradient + at, pack);
  });
}

void run(const ClipGradNormProblem& p, const ClipGradNormBuffers& b, const ExecutionContext& context) {
  const auto sums = static_cast<double*>(b.workspace);
  for_batches(b.chunks, p.chunks, [&](const auto& batch, unsigned count, int64_t first) {
    launch(context, dim3(count), kSumThreads, 0, sum_squares, first, sums, batch);
  });
  launch(context, dim3(1), kSumThreads, 0, add_sums, p, sums, b.norm);
  for_batches(b.chunks, p.chunks, [&](const auto& batch, unsigned count, int64_t) {
    launch(context, chunk_grid(count), kThreads, 0, scale, sums, batch);
  });
}

constexpr ClipGradNormSolver solvers[] = {{"batches", [](const ClipGradNormProblem&) { return true; }, run}};
const bool offered = offer<ClipGradNormProblem, ClipGradNormBuffers>("clipGradNorm", {{solvers, 1}});

}  // namespace
}  // namespace groupconv::cuda
