// Plain loops, which the compiler vectorises for each instruction set. Memory-bound: one pass over
// everything.
#include "ops/lerp/lerp.h"
#include "cpu/context.h"
#include "cpu/simd.h"

namespace groupconv {
namespace {

// Each starts from the nearer end, so that weight 0 and weight 1 are exact.
GROUPCONV_KERNEL void towards_source(const LerpChunk& chunk, float weight) {
  float* __restrict target = chunk.target;
  const float* __restrict source = chunk.source;
  for (int64_t i = 0; i < chunk.size; ++i) target[i] = target[i] + weight * (source[i] - target[i]);
}
GROUPCONV_KERNEL void back_from_source(const LerpChunk& chunk, float rest) {
  float* __restrict target = chunk.target;
  const float* __restrict source = chunk.source;
  for (int64_t i = 0; i < chunk.size; ++i) target[i] = source[i] - rest * (source[i] - target[i]);
}

void vectorised(const LerpProblem& p, const LerpBuffers& b, const ExecutionContext& context) {
  parallel_for(context, p.chunks, [&](int64_t c) {
    if (p.weight < 0.5f)
      towards_source(b.chunks[c], p.weight);
    else
      back_from_source(b.chunks[c], p.rest);
  });
}

constexpr LerpSolver solvers[] = {{"vectorised", [](const LerpProblem&) { return true; }, vectorised}};

}  // namespace

namespace GROUPCONV_ISA {
extern const LerpTable lerp_solvers = {solvers, 1};
}

}  // namespace groupconv
