#include "ops/mul/mul.h"
#include "cpu/offer.h"
#include "cpu/reference.h"

namespace groupconv {

GROUPCONV_PER_ISA(MulTable, mul_solvers)

namespace {

void reference(const MulProblem& p, const MulBuffers& b, const ExecutionContext&) {
  for_operands(p.broadcast, [&](int64_t i, int64_t value) {
    const double product = double{b.a[i]} * b.b[value];
    b.y[i] = static_cast<float>(p.accumulate ? b.y[i] + product : product);
  });
}

constexpr MulSolver references[] = {{"reference", [](const MulProblem&) { return true; }, reference}};

const bool offered = offer<mul_registry, references, mul_solvers_for>();

}  // namespace
}  // namespace groupconv
