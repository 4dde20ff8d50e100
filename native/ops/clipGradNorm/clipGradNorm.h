// Multiplies many gradients, seen as one vector, by a factor (1, or what takes a loss's scale back), then
// scales them down to a Euclidean norm, as torch.nn.utils.clip_grad_norm_:
//
//   norm = factor sqrt(sum of all g^2);  g *= factor min(1, max_norm / (norm + 1e-6))
//
// Squares are summed in float64, in one order for every thread count. A norm that is not finite makes the
// gradients NaN, as in PyTorch; nothing waits for its value.
#pragma once
#include <vector>

#include "core/dispatch.h"
#include "core/tensor.h"

namespace groupconv {

struct ClipGradNormProblem {
  double max_norm, factor;
  int64_t chunks;
};
std::ostream& operator<<(std::ostream& out, const ClipGradNormProblem& problem);

struct GradientChunk {
  float* gradient;
  int64_t size;
};
struct ClipGradNormBuffers {
  const GradientChunk* chunks;
  float* norm;                // after the factor, before clipping
  void* workspace = nullptr;  // a float64 for every chunk
};

// What every gradient is multiplied by, from the norm before the factor; NaN stays NaN.
static constexpr double clip_factor(const ClipGradNormProblem& p, double norm) {
  const double clipping = p.max_norm / (p.factor * norm + 1e-6);
  return clipping > 1 ? p.factor : p.factor * clipping;
}

using ClipGradNormSolver = Solver<ClipGradNormProblem, ClipGradNormBuffers>;
using ClipGradNormTable = SolverTable<ClipGradNormProblem, ClipGradNormBuffers>;
Registry<ClipGradNormProblem, ClipGradNormBuffers>& clip_grad_norm_registry();

// The norm between factor and clipping, a scalar. float32, at least one gradient; a max_norm above 0
// (infinite: no clipping) and a finite factor.
TensorPtr clip_grad_norm(const std::vector<Tensor*>& gradients, double max_norm, double factor = 1);

}  // namespace groupconv
