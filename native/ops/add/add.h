// y = activation(a + b), elementwise, any shape, equal shapes. torch.add, and the shortcut's end of a
// residual block. The gradient passes through unchanged to both sides (through the activation's own gradient,
// where there is one).
#pragma once
#include "core/activation.h"
#include "core/dispatch.h"
#include "core/tensor.h"

namespace groupconv {

struct AddProblem {
  DType dtype;
  Activation activation;
  int64_t size;  // elements in memory, pad lanes included: activation(0 + 0) = 0 keeps them zero
};
std::ostream& operator<<(std::ostream& out, const AddProblem& problem);

struct AddBuffers {
  const float *a, *b;
  float* y;  // may be a
  void* workspace = nullptr;
};

using AddSolver = Solver<AddProblem, AddBuffers>;
using AddTable = SolverTable<AddProblem, AddBuffers>;
Registry<AddProblem, AddBuffers>& add_registry();

TensorPtr add(const Tensor& a, const Tensor& b, Activation activation);
// target += addend.
void accumulate(Tensor& target, const Tensor& addend);

}  // namespace groupconv
