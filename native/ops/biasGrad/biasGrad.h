// Gradients of what all pixels of a channel share, in x [N, C, H, W] or [N, C]: dbias = sum of dy, of what
// was added to x; dscale = sum of dy x, of what x was multiplied by. A gradient [C] or [1, C, 1, 1] sums over
// N, H and W, one [N, C, 1, 1] over H and W. Accurate for large counts: short float32 sums, added in float64.
#pragma once
#include "core/dispatch.h"
#include "core/tensor.h"

namespace groupconv {

struct BiasGradProblem {
  DType dtype;       // of dy and x
  DType grad_dtype;  // of dbias
  // dy [n, c, pixels]. Sums of each image are those of one image that has all images' channels.
  int64_t n, c, pixels;
  int32_t block;    // layout of dy: N C/B pixels B; 1 is N C pixels
  bool scaled;      // sums of dy x
  bool accumulate;  // dbias += …
};
std::ostream& operator<<(std::ostream& out, const BiasGradProblem& problem);

struct BiasGradBuffers {
  const float* dy;
  const float* x;  // where it is scaled
  float* dbias;    // [c]
  void* workspace = nullptr;
};

using BiasGradSolver = Solver<BiasGradProblem, BiasGradBuffers>;
using BiasGradTable = SolverTable<BiasGradProblem, BiasGradBuffers>;
Registry<BiasGradProblem, BiasGradBuffers>& bias_grad_registry();

// dy [N, C, H, W] or [N, C]. A dbias [C] is float32, as parameters are; one of rank 4 has dy's dtype.
void bias_grad(const Tensor& dy, Tensor& dbias, GradMode mode);
// The same for the scale of x, which has dy's shape.
void scale_grad(const Tensor& dy, const Tensor& x, Tensor& dscale, GradMode mode);

}  // namespace groupconv
