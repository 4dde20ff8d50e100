// The CPU's solver list for linear, and its plain reference: sums in float64.
#include "ops/linear/linear.h"
#include "cpu/context.h"
#include "cpu/isa.h"

namespace groupconv {

GROUPCONV_PER_ISA(LinearTable, linear_solvers)

namespace {

// target[i, j] (+)= start(j) + sum over l < length of left(i, l) * right(l, j), for i < rows, j < columns.
template <class Left, class Right, class Start>
void product(const ExecutionContext& context, int64_t rows, int64_t columns, int64_t length, const Left& left,
             const Right& right, const Start& start, bool accumulate, float* target) {
  parallel_for(context, rows, [&](int64_t i) {
    for (int64_t j = 0; j < columns; ++j) {
      float& value = target[i * columns + j];
      double sum = start(j) + (accumulate ? value : 0);
      for (int64_t l = 0; l < length; ++l) sum += double{left(i, l)} * right(l, j);
      value = static_cast<float>(sum);
    }
  });
}

void reference(const LinearProblem& p, const LinearBuffers& b, const ExecutionContext& context) {
  const auto x = [&](int64_t row, int64_t i) { return b.x[row * p.in + i]; };
  const auto dy = [&](int64_t row, int64_t o) { return b.dy[row * p.out + o]; };
  const auto nothing = [](int64_t) { return 0.0; };
  switch (p.pass) {
    case LinearPass::Forward:
      return product(
          context, p.rows, p.out, p.in, x, [&](int64_t i, int64_t o) { return b.weight[o * p.in + i]; },
          [&](int64_t o) { return p.has_bias ? double{b.bias[o]} : 0; }, false, b.y);
    case LinearPass::GradInput:
      return product(
          context, p.rows, p.in, p.out, dy, [&](int64_t o, int64_t i) { return b.weight[o * p.in + i]; },
          nothing, p.accumulate, b.dx);
    case LinearPass::GradWeight:
      return product(
          context, p.out, p.in, p.rows, [&](int64_t o, int64_t row) { return dy(row, o); }, x, nothing,
          p.accumulate, b.dweight);
  }
}

constexpr LinearSolver references[] = {{"reference", [](const LinearProblem&) { return true; }, reference}};

const bool registered =
    linear_registry().add(DeviceKind::Cpu, []() -> const SolverList<LinearProblem, LinearBuffers>& {
      return for_active_isa([](Isa isa) {
        return join<LinearProblem, LinearBuffers>({linear_solvers_for(isa), {references, 1}});
      });
    });

}  // namespace
}  // namespace groupconv
