#include "ops/add/add.h"
#include "cpu/offer.h"
#include "cpu/reference.h"

namespace groupconv {

GROUPCONV_PER_ISA(AddTable, add_solvers)

namespace {

void reference(const AddProblem& p, const AddBuffers& b, const ExecutionContext&) {
  for_operands(p.broadcast,
               [&](int64_t i, int64_t value) { b.y[i] = activate(p.activation, b.a[i] + b.b[value]); });
}

constexpr AddSolver references[] = {{"reference", [](const AddProblem&) { return true; }, reference}};

const bool offered = offer<add_registry, references, add_solvers_for>();

}  // namespace
}  // namespace groupconv
