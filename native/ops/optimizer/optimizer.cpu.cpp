// The CPU's solver lists for the optimisers, and their plain references in float64.
#include <cmath>

#include "cpu/offer.h"
#include "ops/optimizer/optimizer.h"

namespace groupconv {

GROUPCONV_PER_ISA(SgdTable, sgd_solvers)
GROUPCONV_PER_ISA(AdamwTable, adamw_solvers)

namespace {

void sgd(const SgdProblem& p, const SgdBuffers& b, const ExecutionContext&) {
  const SgdNumbers n = *b.numbers;
  for (int64_t c = 0; c < b.count; ++c)
    for (int64_t i = 0; i < b.chunks[c].size; ++i) {
      const OptimizerChunk& chunk = b.chunks[c];
      double g = chunk.gradient[i] + double{p.weight_decay} * chunk.parameter[i];
      if (p.momentum != 0) {
        const double m = double{n.keep} * chunk.first[i] + double{n.gradient_factor} * g;
        chunk.first[i] = static_cast<float>(m);
        g = p.nesterov ? g + p.momentum * m : m;
      }
      chunk.parameter[i] = static_cast<float>(chunk.parameter[i] - n.lr * g);
    }
}

void adamw(const AdamwProblem& p, const AdamwBuffers& b, const ExecutionContext&) {
  const AdamwNumbers n = *b.numbers;
  for (int64_t c = 0; c < b.count; ++c)
    for (int64_t i = 0; i < b.chunks[c].size; ++i) {
      const OptimizerChunk& chunk = b.chunks[c];
      const double g = chunk.gradient[i];
      const double m = double{p.beta1} * chunk.first[i] + p.rest1 * g;
      const double v = double{p.beta2} * chunk.second[i] + p.rest2 * g * g;
      chunk.first[i] = static_cast<float>(m);
      chunk.second[i] = static_cast<float>(v);
      const double step = n.step_size * m / (std::sqrt(v) / n.root_correction + p.eps);
      chunk.parameter[i] = static_cast<float>(double{n.decay} * chunk.parameter[i] - step);
    }
}

constexpr SgdSolver sgd_references[] = {{"reference", [](const SgdProblem&) { return true; }, sgd}};
constexpr AdamwSolver adamw_references[] = {{"reference", [](const AdamwProblem&) { return true; }, adamw}};

const bool offered = offer<sgd_registry, sgd_references, sgd_solvers_for>() &&
                     offer<adamw_registry, adamw_references, adamw_solvers_for>();

}  // namespace
}  // namespace groupconv
