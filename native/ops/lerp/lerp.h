// Moves many tensors towards others, as torch.lerp: target += weight (source - target), computed from the
// nearer end. An exponential moving average is this with weight 1 - decay.
#pragma once
#include <vector>

#include "core/dispatch.h"
#include "core/tensor.h"

namespace groupconv {

struct LerpProblem {
  float weight, rest;  // rest: 1 - weight, rounded from float64
  int64_t chunks;
};
std::ostream& operator<<(std::ostream& out, const LerpProblem& problem);

struct LerpChunk {
  float* target;
  const float* source;
  int64_t size;
};
struct LerpBuffers {
  const LerpChunk* chunks;
  void* workspace = nullptr;
};

using LerpSolver = Solver<LerpProblem, LerpBuffers>;
using LerpTable = SolverTable<LerpProblem, LerpBuffers>;
Registry<LerpProblem, LerpBuffers>& lerp_registry();

// float32, pairs of one shape; weight from 0 to 1.
void lerp(const std::vector<Tensor*>& targets, const std::vector<const Tensor*>& sources, double weight);

}  // namespace groupconv
