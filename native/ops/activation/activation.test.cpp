// Every solver on every instruction set and thread count against the definition.
#include "ops/activation/activation.h"

#include "core/check.h"
#include "cpu/guarded.h"
#include "cpu/isa.h"

namespace groupconv {
namespace {

using test::Guarded;

float forward(float x, Activation kind) {
  return kind == Activation::Relu6 ? std::min(std::max(x, 0.0f), 6.0f) : std::max(x, 0.0f);
}

void check(const ActivationSolver& solver, const ActivationProblem& p, int threads) {
  std::vector<float> x = test::hashed_values(1, p.size), y = x;
  for (int64_t i = 0; i < p.size; ++i) y[i] = forward(x[i] *= 9, p.kind);
  const Guarded gx(x), gdy(test::hashed_values(2, p.size));
  Guarded gy = p.backward ? Guarded(y) : Guarded(p.size), gdx(test::hashed_values(3, p.size));
  const std::vector<float> before = gdx.values();
  if (p.backward && p.size > 8) gy.data()[3] = y[3] = NAN, gy.data()[5] = y[5] = INFINITY;
  solver.run(p, {gx.data(), gy.data(), gdy.data(), gdx.data()}, CpuContext(threads));
  CHECK(gx.intact() && gy.intact() && gdy.intact() && gdx.intact());
  for (int64_t i = 0; i < p.size; ++i) {
    const bool open = !(y[i] <= 0) && !(p.kind == Activation::Relu6 && y[i] >= 6);
    const float dx = (open ? gdy.data()[i] : 0) + (p.accumulate ? before[i] : 0);
    if (p.backward ? gdx.data()[i] != dx : gy.data()[i] != y[i])
      return CHECK_NOTE(false, std::string(solver.name) + " at " + std::to_string(i));
  }
  CHECK(true);
}

}  // namespace
}  // namespace groupconv

int main() {
  using namespace groupconv;
  for (Isa isa : available_isas()) {
    force_isa(isa);
    for (int64_t size : {1, 15, 16, 33, 4096, 5000, 9001})
      for (Activation kind : {Activation::Relu, Activation::Relu6})
        for (int mode = 0; mode < 3; ++mode) {
          const ActivationProblem problem{DType::Float32, mode > 0, kind, mode > 1, size};
          for (const ActivationSolver* solver : activation_registry().list(DeviceKind::Cpu))
            for (int threads : {1, 2, 3})
              if (solver->accepts(problem)) check(*solver, problem, threads);
        }
    // NaN in, NaN out.
    Guarded x(std::vector<float>(20, NAN)), y(20);
    const ActivationProblem problem{DType::Float32, false, Activation::Relu6, false, 20};
    for (const ActivationSolver* solver : activation_registry().list(DeviceKind::Cpu)) {
      if (!solver->accepts(problem)) continue;
      solver->run(problem, {x.data(), y.data(), nullptr, nullptr}, CpuContext(1));
      for (int i = 0; i < 20; ++i) CHECK(std::isnan(y.data()[i]));
    }
  }
  return groupconv::test::report();
}
