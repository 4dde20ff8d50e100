// Plain loops, which the compiler vectorises for each instruction set. Memory-bound: one pass over
// everything.
#include "ops/optimizer/optimizer.h"
#include "cpu/context.h"
#include "cpu/simd.h"

namespace groupconv {
namespace {

template <bool Momentum, bool First>
void sgd_chunk(const SgdProblem& p, const OptimizerChunk& chunk) {
  float* __restrict parameter = chunk.parameter;
  float* __restrict momentum = chunk.first;
  const float* __restrict gradient = chunk.gradient;
  const float lr = p.lr, decay = p.weight_decay, keep = p.momentum, factor = p.gradient_factor;
  const float through = p.nesterov ? 1.0f : 0.0f, from_momentum = p.nesterov ? p.momentum : 1.0f;
  for (int64_t i = 0; i < chunk.size; ++i) {
    float g = gradient[i] + decay * parameter[i];
    if constexpr (Momentum) {
      const float m = First ? g : keep * momentum[i] + factor * g;
      momentum[i] = m;
      g = through * g + from_momentum * m;
    }
    parameter[i] -= lr * g;
  }
}

template <bool Momentum, bool First>
void sgd(const SgdProblem& p, const OptimizerBuffers& b, const ExecutionContext& context) {
  parallel_for(context, b.count, [&](int64_t i) { sgd_chunk<Momentum, First>(p, b.chunks[i]); });
}

template <bool First>
void adamw_chunk(const AdamwProblem& p, const OptimizerChunk& chunk) {
  float* __restrict parameter = chunk.parameter;
  float* __restrict first = chunk.first, * __restrict second = chunk.second;
  const float* __restrict gradient = chunk.gradient;
  const AdamwProblem local = p;
  for (int64_t i = 0; i < chunk.size; ++i) {
    const float g = gradient[i];
    const float m = (First ? 0 : local.beta1 * first[i]) + local.rest1 * g;
    const float v = (First ? 0 : local.beta2 * second[i]) + local.rest2 * g * g;
    first[i] = m;
    second[i] = v;
    const float denominator = __builtin_sqrtf(v) / local.root_correction + local.eps;
    parameter[i] = local.decay * parameter[i] - local.step_size * (m / denominator);
  }
}

template <bool First>
void adamw(const AdamwProblem& p, const OptimizerBuffers& b, const ExecutionContext& context) {
  parallel_for(context, b.count, [&](int64_t i) { adamw_chunk<First>(p, b.chunks[i]); });
}

bool has_momentum(const SgdProblem& p) { return p.momentum != 0; }

constexpr SgdSolver sgds[] = {
    {"vectorised", [](const SgdProblem& p) { return !has_momentum(p); }, sgd<false, false>},
    {"vectorised", [](const SgdProblem& p) { return has_momentum(p) && p.first; }, sgd<true, true>},
    {"vectorised", [](const SgdProblem& p) { return has_momentum(p) && !p.first; }, sgd<true, false>},
};
constexpr AdamwSolver adamws[] = {
    {"vectorised", [](const AdamwProblem& p) { return p.first; }, adamw<true>},
    {"vectorised", [](const AdamwProblem& p) { return !p.first; }, adamw<false>},
};

}  // namespace

namespace GROUPCONV_ISA {
extern const SgdTable sgd_solvers = {sgds, 3};
extern const AdamwTable adamw_solvers = {adamws, 2};
}  // namespace GROUPCONV_ISA

}  // namespace groupconv
