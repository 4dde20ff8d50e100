// y = max(x, 0), or y = min(max(x, 0), 6); elementwise, any shape. torch.nn.functional.relu, relu6.
#pragma once
#include "core/activation.h"
#include "core/dispatch.h"
#include "core/tensor.h"

namespace groupconv {

struct ActivationProblem {
  DType dtype;
  bool backward;
  Activation kind;
  bool accumulate;  // backward: dx += …
  int64_t size;     // elements in memory, pad lanes included: f(0) = 0 keeps them zero
};
std::ostream& operator<<(std::ostream& out, const ActivationProblem& problem);

struct ActivationBuffers {
  const float* x;   // forward
  float* y;         // forward: written; backward: read
  const float* dy;  // backward
  float* dx;        // backward
  void* workspace = nullptr;
};

using ActivationSolver = Solver<ActivationProblem, ActivationBuffers>;
using ActivationTable = SolverTable<ActivationProblem, ActivationBuffers>;
Registry<ActivationProblem, ActivationBuffers>& activation_registry();

TensorPtr activation(const Tensor& x, Activation kind);
// dx = 0 where y <= 0 (or y >= 6), else dy. `y` is the forward's result.
void activation_grad(const Tensor& y, const Tensor& dy, Activation kind, Tensor& dx, GradMode mode);

}  // namespace groupconv
