// Gradients of what is the same for all pixels of a channel: dbias = sum of dy, of what was added to x [N, C,
// H, W]; dscale = sum of dy x, of what x was multiplied by. Sums over N, H and W for a gradient [C] or [1, C,
// 1, 1], over H and W for [N, C, 1, 1].
#pragma once
#include "core/dispatch.h"
#include "core/tensor.h"

namespace groupconv {

struct BiasGradProblem {
  DType dtype;       // of dy and x
  DType grad_dtype;  // of dbias
  int64_t n, c,
      pixels;       // dy [n, c, pixels]; each image's own sums are those of one image of all their channels
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
