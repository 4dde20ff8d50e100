#include <cmath>

#include "cpu/offer.h"
#include "ops/activation/activation.h"

namespace groupconv {

GROUPCONV_PER_ISA(ActivationTable, activation_solvers)

namespace {

void reference(const ActivationProblem& p, const ActivationBuffers& b, const ExecutionContext&) {
  const float top = p.kind == Activation::Relu6 ? 6.0f : INFINITY;
  for (int64_t i = 0; i < p.size; ++i) {
    if (!p.backward) {
      b.y[i] = b.x[i] < 0 ? 0 : b.x[i] > top ? top : b.x[i];
    } else {
      const bool shut = b.y[i] <= 0 || (p.kind == Activation::Relu6 && b.y[i] >= top);
      const float dx = shut ? 0 : b.dy[i];
      b.dx[i] = p.accumulate ? b.dx[i] + dx : dx;
    }
  }
}

constexpr ActivationSolver references[] = {
    {"reference", [](const ActivationProblem&) { return true; }, reference}};

const bool offered = offer<activation_registry, references, activation_solvers_for>();

}  // namespace
}  // namespace groupconv
