// The CPU's solver list for clipGradNorm, and its plain reference in float64.
#include <cmath>

#include "cpu/offer.h"
#include "ops/clipGradNorm/clipGradNorm.h"

namespace groupconv {

GROUPCONV_PER_ISA(ClipGradNormTable, clip_grad_norm_solvers)

namespace {

void reference(const ClipGradNormProblem& p, const ClipGradNormBuffers& b, const ExecutionContext&) {
  double sum = 0;
  for (int64_t c = 0; c < p.chunks; ++c)
    for (int64_t i = 0; i < b.chunks[c].size; ++i)
      sum += double{b.chunks[c].gradient[i]} * b.chunks[c].gradient[i];
  const double factor = clip_factor(p, std::sqrt(sum));
  *b.norm = static_cast<float>(p.factor * std::sqrt(sum));
  for (int64_t c = 0; c < p.chunks; ++c)
    for (int64_t i = 0; i < b.chunks[c].size; ++i)
      b.chunks[c].gradient[i] = static_cast<float>(b.chunks[c].gradient[i] * factor);
}

constexpr ClipGradNormSolver references[] = {
    {"reference", [](const ClipGradNormProblem&) { return true; }, reference}};

const bool offered = offer<clip_grad_norm_registry, references, clip_grad_norm_solvers_for>();

}  // namespace
}  // namespace groupconv
