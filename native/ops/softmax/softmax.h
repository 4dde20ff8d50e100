// softmax and its logarithm along one axis, as torch.nn.functional.softmax and log_softmax:
//
//   y = exp(x - max) / sum exp(x - max)            dx = y (dy - sum dy y)
//   log: y = x - max - log(sum exp(x - max))       dx = dy - exp(y) sum dy
#pragma once
#include "core/dispatch.h"
#include "core/tensor.h"

namespace groupconv {

struct SoftmaxProblem {
  DType dtype;
  bool backward, log;
  bool accumulate;              // backward: dx += …
  int64_t outer, count, inner;  // row-major [outer, count, inner]; count is the axis' extent
};
std::ostream& operator<<(std::ostream& out, const SoftmaxProblem& problem);

struct SoftmaxBuffers {
  const float* x;   // forward
  float* y;         // forward: written; backward: read
  const float* dy;  // backward
  float* dx;        // backward
  void* workspace = nullptr;
};

using SoftmaxSolver = Solver<SoftmaxProblem, SoftmaxBuffers>;
using SoftmaxTable = SolverTable<SoftmaxProblem, SoftmaxBuffers>;
Registry<SoftmaxProblem, SoftmaxBuffers>& softmax_registry();

// A negative axis counts from the end.
TensorPtr softmax(const Tensor& x, int axis, bool log);
// `y` is the forward's result.
void softmax_grad(const Tensor& y, const Tensor& dy, int axis, bool log, Tensor& dx, GradMode mode);

}  // namespace groupconv
