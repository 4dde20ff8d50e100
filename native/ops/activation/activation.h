// Nonlinearities, element by element, any shape, with torch.nn.functional's names and meaning:
//   relu         max(x, 0)
//   relu6        min(max(x, 0), 6)
//   sigmoid      1 / (1 + exp(-x))
//   silu         x sigmoid(x) (Ramachandran et al. 2017: swish)
//   hardsigmoid  min(max(x + 3, 0), 6) / 6
//   hardswish    x hardsigmoid(x) (Howard et al. 2019)
#pragma once
#include "core/dispatch.h"
#include "core/tensor.h"

namespace groupconv {

// The first two are also what kernels apply at their stores (core/activation.h).
enum class Nonlinearity : int32_t { Relu = 1, Relu6, Sigmoid, Silu, Hardsigmoid, Hardswish };

struct ActivationProblem {
  DType dtype;
  bool backward;
  Nonlinearity kind;
  bool accumulate;  // backward: dx += …
  int64_t size;     // elements in memory, pad lanes included: [images, blocks, pixels, lanes]
  int64_t blocks, pixels;
  int32_t lanes;
  int32_t last_lanes;  // of the last block those that are channels: the others stay zero, whatever f(0) is
};
std::ostream& operator<<(std::ostream& out, const ActivationProblem& problem);

struct ActivationBuffers {
  const float* x;      // forward
  float* y;            // forward
  const float* saved;  // backward: x of silu and hardswish, else y
  const float* dy;     // backward
  float* dx;           // backward
  void* workspace = nullptr;
};

using ActivationSolver = Solver<ActivationProblem, ActivationBuffers>;
using ActivationTable = SolverTable<ActivationProblem, ActivationBuffers>;
Registry<ActivationProblem, ActivationBuffers>& activation_registry();

TensorPtr activation(const Tensor& x, Nonlinearity kind);
// dx = f'(x) dy. `saved` is x of silu and hardswish, else y. No gradient passes where a clamp holds: where y
// <= 0 (or y >= 6; of hardsigmoid y >= 1).
void activation_grad(const Tensor& saved, const Tensor& dy, Nonlinearity kind, Tensor& dx, GradMode mode);

}  // namespace groupconv
