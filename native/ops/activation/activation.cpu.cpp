#include "ops/activation/activation.h"
#include "cpu/offer.h"
#include "cpu/reference.h"

namespace groupconv {

GROUPCONV_PER_ISA(ActivationTable, activation_solvers)

namespace {

void reference(const ActivationProblem& p, const ActivationBuffers& b, const ExecutionContext&) {
  for (int64_t i = 0; i < p.size; ++i) {
    if (!p.backward) {
      b.y[i] = activate(p.kind, b.x[i]);
    } else {
      const float dx = stops_gradient(p.kind, b.y[i]) ? 0 : b.dy[i];
      b.dx[i] = p.accumulate ? b.dx[i] + dx : dx;
    }
  }
}

constexpr ActivationSolver references[] = {
    {"reference", [](const ActivationProblem&) { return true; }, reference}};

const bool offered = offer<activation_registry, references, activation_solvers_for>();

}  // namespace
}  // namespace groupconv
