// The CPU's solver lists for the optimisers, and their plain references in float64.
#include <cmath>

#include "cpu/isa.h"
#include "ops/optimizer/optimizer.h"

namespace groupconv {

GROUPCONV_PER_ISA(SgdTable, sgd_solvers)
GROUPCONV_PER_ISA(AdamwTable, adamw_solvers)

namespace {

void sgd(const SgdProblem& p, const OptimizerBuffers& b, const ExecutionContext&) {
  for (int64_t c = 0; c < b.count; ++c)
    for (int64_t i = 0; i < b.chunks[c].size; ++i) {
      const OptimizerChunk& chunk = b.chunks[c];
      double g = chunk.gradient[i] + double{p.weight_decay} * chunk.parameter[i];
      if (p.momentum != 0) {
        const double m = p.first ? g : double{p.momentum} * chunk.first[i] + double{p.gradient_factor} * g;
        chunk.first[i] = static_cast<float>(m);
        g = p.nesterov ? g + p.momentum * m : m;
      }
      chunk.parameter[i] = static_cast<float>(chunk.parameter[i] - p.lr * g);
    }
}

void adamw(const AdamwProblem& p, const OptimizerBuffers& b, const ExecutionContext&) {
  for (int64_t c = 0; c < b.count; ++c)
    for (int64_t i = 0; i < b.chunks[c].size; ++i) {
      const OptimizerChunk& chunk = b.chunks[c];
      const double g = chunk.gradient[i];
      const double m = (p.first ? 0 : double{p.beta1} * chunk.first[i]) + p.rest1 * g;
      const double v = (p.first ? 0 : double{p.beta2} * chunk.second[i]) + p.rest2 * g * g;
      chunk.first[i] = static_cast<float>(m);
      chunk.second[i] = static_cast<float>(v);
      const double step = p.step_size * m / (std::sqrt(v) / p.root_correction + p.eps);
      chunk.parameter[i] = static_cast<float>(double{p.decay} * chunk.parameter[i] - step);
    }
}

constexpr SgdSolver sgd_references[] = {{"reference", [](const SgdProblem&) { return true; }, sgd}};
constexpr AdamwSolver adamw_references[] = {{"reference", [](const AdamwProblem&) { return true; }, adamw}};

const SolverList<SgdProblem, OptimizerBuffers>& sgds() {
  return for_active_isa([](Isa isa) {
    return join<SgdProblem, OptimizerBuffers>({sgd_solvers_for(isa), {sgd_references, 1}});
  });
}
const SolverList<AdamwProblem, OptimizerBuffers>& adamws() {
  return for_active_isa([](Isa isa) {
    return join<AdamwProblem, OptimizerBuffers>({adamw_solvers_for(isa), {adamw_references, 1}});
  });
}

const bool registered =
    sgd_registry().add(DeviceKind::Cpu, sgds) && adamw_registry().add(DeviceKind::Cpu, adamws);

}  // namespace
}  // namespace groupconv
