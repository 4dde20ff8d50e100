#include "ops/biasGrad/biasGrad.h"
#include "cpu/context.h"
#include "cpu/offer.h"

namespace groupconv {

GROUPCONV_PER_ISA(BiasGradTable, bias_grad_solvers)

namespace {

void reference(const BiasGradProblem& p, const BiasGradBuffers& b, const ExecutionContext& context) {
  const int64_t blocks = (p.c + p.block - 1) / p.block;
  parallel_for(context, p.c, [&](int64_t c) {
    double sum = p.accumulate ? b.dbias[c] : 0;
    for (int64_t n = 0; n < p.n; ++n)
      for (int64_t pixel = 0; pixel < p.pixels; ++pixel) {
        const int64_t i = ((n * blocks + c / p.block) * p.pixels + pixel) * p.block + c % p.block;
        sum += p.scaled ? double{b.dy[i]} * b.x[i] : b.dy[i];
      }
    b.dbias[c] = static_cast<float>(sum);
  });
}

constexpr BiasGradSolver references[] = {
    {"reference", [](const BiasGradProblem&) { return true; }, reference}};

const bool offered = offer<bias_grad_registry, references, bias_grad_solvers_for>();

}  // namespace
}  // namespace groupconv
