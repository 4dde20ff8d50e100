// y = a b, element by element: equal shapes of any rank, or one of a and b a value for every channel, [N, C,
// 1, 1] or [1, C, 1, 1] beside [N, C, H, W]. torch.mul. The gradient of each is dy times the other; channels'
// values get the sums of that (biasGrad's scale_grad).
#pragma once
#include "core/broadcast.h"
#include "core/dispatch.h"

namespace groupconv {

struct MulProblem {
  DType dtype;
  bool accumulate;      // y += …
  Broadcast broadcast;  // pad lanes included: 0 * 0 = 0 keeps them zero
};
std::ostream& operator<<(std::ostream& out, const MulProblem& problem);

struct MulBuffers {
  const float *a, *b;  // b is what is broadcast
  float* y;
  void* workspace = nullptr;
};

using MulSolver = Solver<MulProblem, MulBuffers>;
using MulTable = SolverTable<MulProblem, MulBuffers>;
Registry<MulProblem, MulBuffers>& mul_registry();

TensorPtr mul(const Tensor& a, const Tensor& b);
// dx = dy other: the gradient of a factor that has dy's shape, where `other` is the other one.
void mul_grad(const Tensor& dy, const Tensor& other, Tensor& dx, GradMode mode);

}  // namespace groupconv
