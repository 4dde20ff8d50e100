#include "ops/add/add.h"
#include "cpu/offer.h"

namespace groupconv {

GROUPCONV_PER_ISA(AddTable, add_solvers)

namespace {

void reference(const AddProblem& p, const AddBuffers& b, const ExecutionContext&) {
  for (int64_t i = 0; i < p.size; ++i) {
    float v = b.a[i] + b.b[i];
    if (p.activation != Activation::None && v < 0) v = 0;
    if (p.activation == Activation::Relu6 && v > 6) v = 6;
    b.y[i] = v;
  }
}

constexpr AddSolver references[] = {{"reference", [](const AddProblem&) { return true; }, reference}};

const bool offered = offer<add_registry, references, add_solvers_for>();

}  // namespace
}  // namespace groupconv
