#include "ops/biasGrad/biasGrad.h"
#include "cpu/context.h"
#include "cpu/isa.h"

namespace groupconv {

GROUPCONV_PER_ISA(BiasGradTable, bias_grad_solvers)

namespace {

void reference(const BiasGradProblem& p, const BiasGradBuffers& b, const ExecutionContext& context) {
  const int64_t blocks = (p.c + p.block - 1) / p.block;
  parallel_for(context, p.c, [&](int64_t c) {
    double sum = p.accumulate ? b.dbias[c] : 0;
    for (int64_t n = 0; n < p.n; ++n)
      for (int64_t pixel = 0; pixel < p.pixels; ++pixel)
        sum += b.dy[((n * blocks + c / p.block) * p.pixels + pixel) * p.block + c % p.block];
    b.dbias[c] = static_cast<float>(sum);
  });
}

constexpr BiasGradSolver references[] = {
    {"reference", [](const BiasGradProblem&) { return true; }, reference}};

const bool registered =
    bias_grad_registry().add(DeviceKind::Cpu, []() -> const SolverList<BiasGradProblem, BiasGradBuffers>& {
      return for_active_isa([](Isa isa) {
        return join<BiasGradProblem, BiasGradBuffers>({bias_grad_solvers_for(isa), {references, 1}});
      });
    });

}  // namespace
}  // namespace groupconv
