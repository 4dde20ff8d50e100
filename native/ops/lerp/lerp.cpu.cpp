// The CPU's solver list for lerp, and its plain reference in float64.
#include "ops/lerp/lerp.h"
#include "cpu/offer.h"

namespace groupconv {

GROUPCONV_PER_ISA(LerpTable, lerp_solvers)

namespace {

void reference(const LerpProblem& p, const LerpBuffers& b, const ExecutionContext&) {
  for (int64_t c = 0; c < p.chunks; ++c)
    for (int64_t i = 0; i < b.chunks[c].size; ++i) {
      const double target = b.chunks[c].target[i], source = b.chunks[c].source[i];
      b.chunks[c].target[i] = static_cast<float>(p.weight < 0.5f ? target + p.weight * (source - target)
                                                                 : source - p.rest * (source - target));
    }
}

constexpr LerpSolver references[] = {{"reference", [](const LerpProblem&) { return true; }, reference}};

const bool offered = offer<lerp_registry, references, lerp_solvers_for>();

}  // namespace
}  // namespace groupconv
