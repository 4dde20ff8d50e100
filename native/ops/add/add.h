// y = activation(a + b), element by element: equal shapes of any rank, or one of a and b a value for every
// channel, [N, C, 1, 1] or [1, C, 1, 1] beside [N, C, H, W]. torch.add, and the shortcut's end of a residual
// block. The gradient passes through unchanged to both sides (through the activation's own gradient, where
// there is one); channels' values get its sums (biasGrad).
#pragma once
#include "core/activation.h"
#include "core/broadcast.h"
#include "core/dispatch.h"

namespace groupconv {

struct AddProblem {
  DType dtype;
  Activation activation;
  Broadcast broadcast;  // pad lanes included: activation(0 + 0) = 0 keeps them zero
};
std::ostream& operator<<(std::ostream& out, const AddProblem& problem);

struct AddBuffers {
  const float *a, *b;  // b is what is broadcast
  float* y;            // may be a
  void* workspace = nullptr;
};

using AddSolver = Solver<AddProblem, AddBuffers>;
using AddTable = SolverTable<AddProblem, AddBuffers>;
Registry<AddProblem, AddBuffers>& add_registry();

TensorPtr add(const Tensor& a, const Tensor& b, Activation activation);
// target += addend, of its shape.
void accumulate(Tensor& target, const Tensor& addend);

}  // namespace groupconv
