// Optimiser steps over all tensors at once, as torch.optim.SGD and torch.optim.AdamW compute them; state is
// float32 and starts at zero.
//
//   SGD:    g += weight_decay p;  m = momentum m + (1 - dampening) g, or m = g the first time;
//           p -= lr (nesterov ? g + momentum m : m)
//   AdamW:  p *= 1 - lr weight_decay;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;
//           p -= lr / (1 - beta1^step) m / (sqrt(v / (1 - beta2^step)) + eps)
//
// What changes from step to step is read from memory when the step runs, so that a recorded step goes on
// with new numbers.
#pragma once
#include <vector>

#include "core/dispatch.h"
#include "core/tensor.h"

namespace groupconv {

struct SgdProblem {
  float momentum, weight_decay;
  bool nesterov;
};
struct SgdNumbers {
  float lr;
  float keep;             // of the old momentum: `momentum`, but 0 the first time
  float gradient_factor;  // 1 - dampening, but 1 the first time
};
std::ostream& operator<<(std::ostream& out, const SgdProblem& problem);

struct AdamwProblem {
  float beta1, beta2, rest1, rest2;  // rest: 1 - beta, rounded from float64
  float eps;
};
struct AdamwNumbers {
  float decay;            // 1 - lr weight_decay
  float step_size;        // lr / (1 - beta1^step)
  float root_correction;  // sqrt(1 - beta2^step)
};
std::ostream& operator<<(std::ostream& out, const AdamwProblem& problem);

// A part of one tensor: the unit of parallel work.
struct OptimizerChunk {
  float* parameter;
  const float* gradient;
  float *first, *second;  // momentum, or first and second moment; null where there is none
  int64_t size;
};
template <class Numbers>
struct OptimizerBuffers {
  const OptimizerChunk* chunks;  // on the host, on every device
  int64_t count;
  const Numbers* numbers;  // in the device's memory
  void* workspace = nullptr;
};
using SgdBuffers = OptimizerBuffers<SgdNumbers>;
using AdamwBuffers = OptimizerBuffers<AdamwNumbers>;

using SgdSolver = Solver<SgdProblem, SgdBuffers>;
using SgdTable = SolverTable<SgdProblem, SgdBuffers>;
Registry<SgdProblem, SgdBuffers>& sgd_registry();
using AdamwSolver = Solver<AdamwProblem, AdamwBuffers>;
using AdamwTable = SolverTable<AdamwProblem, AdamwBuffers>;
Registry<AdamwProblem, AdamwBuffers>& adamw_registry();

// Hyperparameters are float64, as in PyTorch: 1 - 0.999 in float32 would be off by 1e-5. Element i of every
// list belongs together. `momenta` is empty without momentum. `numbers` are SgdNumbers, float32 [3].
void sgd_step(const std::vector<Tensor*>& parameters, const std::vector<const Tensor*>& gradients,
              const std::vector<Tensor*>& momenta, const Tensor& numbers, double momentum,
              double weight_decay, bool nesterov);
// `numbers` are AdamwNumbers, float32 [3].
void adamw_step(const std::vector<Tensor*>& parameters, const std::vector<const Tensor*>& gradients,
                const std::vector<Tensor*>& first_moments, const std::vector<Tensor*>& second_moments,
                const Tensor& numbers, double beta1, double beta2, double eps);

}  // namespace groupconv
