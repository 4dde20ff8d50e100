// dbias[c] = sum of dy over every axis but 1: the gradient of a bias [C] that was added to [N, C, H, W] or
// [N, C]. Accurate for large counts: short float32 sums, added in float64.
#pragma once
#include "core/dispatch.h"
#include "core/tensor.h"

namespace groupconv {

struct BiasGradProblem {
  DType dtype;           // of dy; dbias is float32
  int64_t n, c, pixels;  // dy [n, c, pixels]
  int32_t block;         // layout of dy: N C/B pixels B; 1 is N C pixels
  bool accumulate;       // dbias += …
};
std::ostream& operator<<(std::ostream& out, const BiasGradProblem& problem);

struct BiasGradBuffers {
  const float* dy;
  float* dbias;
  void* workspace = nullptr;
};

using BiasGradSolver = Solver<BiasGradProblem, BiasGradBuffers>;
using BiasGradTable = SolverTable<BiasGradProblem, BiasGradBuffers>;
Registry<BiasGradProblem, BiasGradBuffers>& bias_grad_registry();

void bias_grad(const Tensor& dy, Tensor& dbias, GradMode mode);

}  // namespace groupconv
