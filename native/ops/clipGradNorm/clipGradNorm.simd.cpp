// Two passes over all chunks: sums of squares, then the factor. Vectors of squares are added in float32 over
// short runs, runs in float64.
#include "ops/clipGradNorm/clipGradNorm.h"
#include "cpu/context.h"
#include "cpu/simd.h"

namespace groupconv {
namespace {

constexpr int64_t kRun = 16 * W;  // float32 loses nothing over 16 terms per lane

GROUPCONV_KERNEL double sum_of_squares(const float* x, int64_t size) {
  double sum = 0;
  int64_t i = 0;
  for (; i + kRun <= size; i += kRun) {
    Vec squares[4] = {};
    for (int64_t at = 0; at < kRun; at += 4 * W) GROUPCONV_UNROLL for (int j = 0; j < 4; ++j) {
        const Vec v = load_unaligned(x + i + at + j * W);
        squares[j] += v * v;
      }
    sum += static_cast<double>(sum_lanes((squares[0] + squares[1]) + (squares[2] + squares[3])));
  }
  for (; i < size; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return sum;
}

GROUPCONV_KERNEL void scale(float* __restrict x, int64_t size, float factor) {
  for (int64_t i = 0; i < size; ++i) x[i] *= factor;
}

void vectorised(const ClipGradNormProblem& p, const ClipGradNormBuffers& b, const ExecutionContext& context) {
  auto* const sums = static_cast<double*>(b.workspace);
  parallel_for(context, p.chunks,
               [&](int64_t c) { sums[c] = sum_of_squares(b.chunks[c].gradient, b.chunks[c].size); });
  double sum = 0;
  for (int64_t c = 0; c < p.chunks; ++c) sum += sums[c];
  const double norm = __builtin_sqrt(sum);
  *b.norm = static_cast<float>(p.factor * norm);
  const float factor = static_cast<float>(clip_factor(p, norm));
  if (factor == 1) return;
  parallel_for(context, p.chunks, [&](int64_t c) { scale(b.chunks[c].gradient, b.chunks[c].size, factor); });
}

constexpr ClipGradNormSolver solvers[] = {
    {"vectorised", [](const ClipGradNormProblem&) { return true; }, vectorised}};

}  // namespace

namespace GROUPCONV_ISA {
extern const ClipGradNormTable clip_grad_norm_solvers = {solvers, 1};
}

}  // namespace groupconv
