// Plain loops, which the compiler vectorises for each instruction set. Memory-bound: one pass over
// everything.
#include "ops/optimizer/optimizer.h"
#include "cpu/context.h"
#include "cpu/simd.h"

namespace groupconv {
namespace {

template <bool Momentum>
void sgd_chunk(const SgdProblem& p, const SgdNumbers& n, const OptimizerChunk& chunk) {
  float* __restrict parameter = chunk.parameter;
  float* __restrict momentum = chunk.first;
  const float* __restrict gradient = chunk.gradient;
  const float lr = n.lr, decay = p.weight_decay, keep = n.keep, factor = n.gradient_factor;
  const float through = p.nesterov ? 1.0f : 0.0f, from_momentum = p.nesterov ? p.momentum : 1.0f;
  for (int64_t i = 0; i < chunk.size; ++i) {
    float g = gradient[i] + decay * parameter[i];
    if constexpr (Momentum) {
      const float m = keep * momentum[i] + factor * g;
      momentum[i] = m;
      g = through * g + from_momentum * m;
    }
    parameter[i] -= lr * g;
  }
}

template <bool Momentum>
void sgd(const SgdProblem& p, const SgdBuffers& b, const ExecutionContext& context) {
  const SgdNumbers numbers = *b.numbers;
  parallel_for(context, b.count, [&](int64_t i) { sgd_chunk<Momentum>(p, numbers, b.chunks[i]); });
}

void adamw_chunk(const AdamwProblem& p, const AdamwNumbers& n, const OptimizerChunk& chunk) {
  float* __restrict parameter = chunk.parameter;
  float* __restrict first = chunk.first, * __restrict second = chunk.second;
  const float* __restrict gradient = chunk.gradient;
  const AdamwProblem local = p;
  const AdamwNumbers numbers = n;
  for (int64_t i = 0; i < chunk.size; ++i) {
    const float g = gradient[i];
    const float m = local.beta1 * first[i] + local.rest1 * g;
    const float v = local.beta2 * second[i] + local.rest2 * g * g;
    first[i] = m;
    second[i] = v;
    const float denominator = __builtin_sqrtf(v) / numbers.root_correction + local.eps;
    parameter[i] = numbers.decay * parameter[i] - numbers.step_size * (m / denominator);
  }
}

void adamw(const AdamwProblem& p, const AdamwBuffers& b, const ExecutionContext& context) {
  const AdamwNumbers numbers = *b.numbers;
  parallel_for(context, b.count, [&](int64_t i) { adamw_chunk(p, numbers, b.chunks[i]); });
}

bool has_momentum(const SgdProblem& p) { return p.momentum != 0; }

constexpr SgdSolver sgds[] = {
    {"vectorised", [](const SgdProblem& p) { return !has_momentum(p); }, sgd<false>},
    {"vectorised", has_momentum, sgd<true>},
};
constexpr AdamwSolver adamws[] = {{"vectorised", [](const AdamwProblem&) { return true; }, adamw}};

}  // namespace

namespace GROUPCONV_ISA {
extern const SgdTable sgd_solvers = {sgds, 2};
extern const AdamwTable adamw_solvers = {adamws, 1};
}  // namespace GROUPCONV_ISA

}  // namespace groupconv
