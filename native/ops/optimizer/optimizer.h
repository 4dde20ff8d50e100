// Optimiser steps over all tensors at once, as torch.optim.SGD and torch.optim.AdamW compute them; state is
// float32.
//
//   SGD:    g += weight_decay p;  m = momentum m + (1 - dampening) g, or m = g the first time;
//           p -= lr (nesterov ? g + momentum m : m)
//   AdamW:  p *= 1 - lr weight_decay;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;
//           p -= lr / (1 - beta1^step) m / (sqrt(v / (1 - beta2^step)) + eps)
#pragma once
#include <vector>

#include "core/dispatch.h"
#include "core/tensor.h"

namespace groupconv {

struct SgdProblem {
  float lr, momentum, weight_decay;
  float gradient_factor;  // 1 - dampening
  bool nesterov, first;   // first: the momenta hold nothing yet
};
std::ostream& operator<<(std::ostream& out, const SgdProblem& problem);

struct AdamwProblem {
  float decay;                       // 1 - lr weight_decay
  float beta1, beta2, rest1, rest2;  // rest: 1 - beta, rounded from float64
  float step_size;                   // lr / (1 - beta1^step)
  float root_correction;             // sqrt(1 - beta2^step)
  float eps;
  bool first;  // the moments hold nothing yet and count as zero
};
std::ostream& operator<<(std::ostream& out, const AdamwProblem& problem);

// A part of one tensor: the unit of parallel work.
struct OptimizerChunk {
  float* parameter;
  const float* gradient;
  float *first, *second;  // momentum, or first and second moment; null where there is none
  int64_t size;
};
struct OptimizerBuffers {
  const OptimizerChunk* chunks;
  int64_t count;
  void* workspace = nullptr;
};

using SgdSolver = Solver<SgdProblem, OptimizerBuffers>;
using SgdTable = SolverTable<SgdProblem, OptimizerBuffers>;
Registry<SgdProblem, OptimizerBuffers>& sgd_registry();
using AdamwSolver = Solver<AdamwProblem, OptimizerBuffers>;
using AdamwTable = SolverTable<AdamwProblem, OptimizerBuffers>;
Registry<AdamwProblem, OptimizerBuffers>& adamw_registry();

// Hyperparameters are float64, as in PyTorch: 1 - 0.999 in float32 would be off by 1e-5. Element i of every
// list belongs together. `momenta` is empty without momentum.
void sgd_step(const std::vector<Tensor*>& parameters, const std::vector<const Tensor*>& gradients,
              const std::vector<Tensor*>& momenta, double lr, double momentum, double dampening,
              double weight_decay, bool nesterov, bool first);
// `step` counts from 1; in step 1 the moments' old contents don't matter.
void adamw_step(const std::vector<Tensor*>& parameters, const std::vector<const Tensor*>& gradients,
                const std::vector<Tensor*>& first_moments, const std::vector<Tensor*>& second_moments,
                double lr, double beta1, double beta2, double eps, double weight_decay, int64_t step);

}  // namespace groupconv
