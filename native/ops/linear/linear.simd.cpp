#include "ops/linear/linear.h"
#include "cpu/context.h"
#include "cpu/gemm.h"
#include "cpu/simd.h"

namespace groupconv {
namespace GROUPCONV_ISA {
extern const Gemm gemm;
}
namespace {

GemmProblem product_of(const LinearProblem& p) {
  switch (p.pass) {
    case LinearPass::Forward:  // y [rows, out] = x [rows, in] weight^T; the bias is in y already
      return {p.rows, p.out, p.in, false, true, p.in, p.in, p.out, p.has_bias != 0};
    case LinearPass::GradInput:  // dx [rows, in] = dy [rows, out] weight
      return {p.rows, p.in, p.out, false, false, p.out, p.in, p.in, p.accumulate != 0};
    case LinearPass::GradWeight:  // dweight [out, in] = dy^T x
      break;
  }
  return {p.out, p.in, p.rows, true, false, p.out, p.in, p.in, p.accumulate != 0};
}

void run(const LinearProblem& p, const LinearBuffers& b, const ExecutionContext& context) {
  const Gemm& gemm = GROUPCONV_ISA::gemm;
  const GemmProblem product = product_of(p);
  switch (p.pass) {
    case LinearPass::Forward:
      if (p.has_bias)
        parallel_for(context, p.rows, [&](int64_t row) {
          __builtin_memcpy(b.y + row * p.out, b.bias, static_cast<size_t>(p.out) * sizeof(float));
        });
      return gemm.run(product, b.x, b.weight, b.y, b.workspace, context);
    case LinearPass::GradInput:
      return gemm.run(product, b.dy, b.weight, b.dx, b.workspace, context);
    case LinearPass::GradWeight:
      return gemm.run(product, b.dy, b.x, b.dweight, b.workspace, context);
  }
}

constexpr LinearSolver solvers[] = {
    {"gemm", [](const LinearProblem&) { return true; }, run,
     [](const LinearProblem& p) { return GROUPCONV_ISA::gemm.workspace_bytes(product_of(p)); }},
};

}  // namespace

namespace GROUPCONV_ISA {
extern const LinearTable linear_solvers = {solvers, 1};
}

}  // namespace groupconv
