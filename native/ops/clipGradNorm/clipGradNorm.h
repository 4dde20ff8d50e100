// Scales many gradients, seen as one vector, down to a Euclidean norm, as torch.nn.utils.clip_grad_norm_:
//
//   norm = sqrt(sum of all g^2);  g *= min(1, max_norm / (norm + 1e-6))
//
// Squares are summed in float64, in one order for every thread count. A norm that is not finite makes the
// gradients NaN, as in PyTorch; nothing waits for its value.
#pragma once
#include <vector>

#include "core/dispatch.h"
#include "core/tensor.h"

namespace groupconv {

struct ClipGradNormProblem {
  double max_norm;
  int64_t chunks;
};
std::ostream& operator<<(std::ostream& out, const ClipGradNormProblem& problem);

struct GradientChunk {
  float* gradient;
  int64_t size;
};
struct ClipGradNormBuffers {
  const GradientChunk* chunks;
  float* norm;                // before clipping
  void* workspace = nullptr;  // a float64 for every chunk
};

// The factor of every gradient; NaN stays NaN.
static constexpr double clip_factor(const ClipGradNormProblem& p, double norm) {
  const double factor = p.max_norm / (norm + 1e-6);
  return factor > 1 ? 1 : factor;
}

using ClipGradNormSolver = Solver<ClipGradNormProblem, ClipGradNormBuffers>;
using ClipGradNormTable = SolverTable<ClipGradNormProblem, ClipGradNormBuffers>;
Registry<ClipGradNormProblem, ClipGradNormBuffers>& clip_grad_norm_registry();

// The norm before clipping, a scalar. float32, at least one gradient; max_norm above 0 (infinite: only
// measures).
TensorPtr clip_grad_norm(const std::vector<Tensor*>& gradients, double max_norm);

}  // namespace groupconv
