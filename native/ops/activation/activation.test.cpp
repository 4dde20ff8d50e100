// Every solver on every instruction set and thread count against the definition in float64; pad lanes; the
// door.
#include "ops/activation/activation.h"

#include "cpu/everywhere.h"
#include "cpu/stream.h"

namespace groupconv {
namespace {

using test::Guarded;
using Values = std::vector<float>;

constexpr Nonlinearity kKinds[] = {Nonlinearity::Relu, Nonlinearity::Relu6,       Nonlinearity::Sigmoid,
                                   Nonlinearity::Silu, Nonlinearity::Hardsigmoid, Nonlinearity::Hardswish};
bool clamps(Nonlinearity kind) { return kind == Nonlinearity::Relu || kind == Nonlinearity::Relu6; }
bool saves_input(Nonlinearity kind) { return kind == Nonlinearity::Silu || kind == Nonlinearity::Hardswish; }

double clamp(double x, double top) { return std::min(std::max(x, 0.0), top); }
double logistic(double x) { return 1 / (1 + std::exp(-x)); }

double forward(Nonlinearity kind, double x) {
  switch (kind) {
    case Nonlinearity::Relu:
      return std::max(x, 0.0);
    case Nonlinearity::Relu6:
      return clamp(x, 6);
    case Nonlinearity::Sigmoid:
      return logistic(x);
    case Nonlinearity::Silu:
      return x * logistic(x);
    case Nonlinearity::Hardsigmoid:
      return clamp(x / 6 + 0.5, 1);
    case Nonlinearity::Hardswish:
      return x * clamp(x / 6 + 0.5, 1);
  }
  return NAN;
}

// The slope of f at x.
double slope(Nonlinearity kind, double x) {
  const double s = logistic(x);
  switch (kind) {
    case Nonlinearity::Relu:
      return x > 0;
    case Nonlinearity::Relu6:
      return x > 0 && x < 6;
    case Nonlinearity::Sigmoid:
      return s * (1 - s);
    case Nonlinearity::Silu:
      return s + x * s * (1 - s);
    case Nonlinearity::Hardsigmoid:
      return x > -3 && x < 3 ? 1.0 / 6 : 0;
    case Nonlinearity::Hardswish:
      return x <= -3 ? 0 : x >= 3 ? 1 : (2 * x + 3) / 6;
  }
  return NAN;
}

// In units of the last place of what is expected, which counts as `least` where it is smaller.
double units(float actual, double expected, double least) {
  return std::abs(actual - expected) / (std::max(std::abs(expected), least) * 0x1p-24);
}

struct Case {
  ActivationProblem problem;
  Values x, dy, before;
  double units_allowed;
};

void check(const Case& c) {
  const ActivationProblem& p = c.problem;
  Values saved = c.x;
  if (!saves_input(p.kind))
    for (float& value : saved) value = static_cast<float>(forward(p.kind, value));
  for (Isa isa : available_isas()) {
    force_isa(isa);
    const auto run = [&](const ActivationSolver& solver, int threads, const std::string& note) {
      const Guarded x(c.x), s(saved), dy(c.dy);
      Guarded y(c.x.size()), dx(c.before);
      solver.run(p, {x.data(), y.data(), s.data(), dy.data(), dx.data()}, CpuContext(threads));
      CHECK_NOTE(y.intact() && dx.intact(), "guards of " + note);
      return (p.backward ? dx : y).values();
    };
    test::check_solvers(
        activation_registry(), p, isa, run, [&](const Values& found, const std::string& note) {
          double worst = 0;
          for (size_t i = 0; i < found.size(); ++i) {
            double expected = forward(p.kind, c.x[i]), least = 1e-35;  // denormals have fewer digits
            if (p.backward) {
              expected = slope(p.kind, c.x[i]) * c.dy[i] + (p.accumulate ? c.before[i] : 0);
              // Where slopes cross zero, and sums cancel, terms are rounded. y near 1 has a coarse 1 - y.
              least = std::max(
                  {0.1 * std::abs(double{c.dy[i]}), p.accumulate ? std::abs(double{c.before[i]}) : 0});
            }
            worst = std::max(worst, units(found[i], expected, least));
          }
          CHECK_NOTE(worst <= c.units_allowed,
                     note + ": " + std::to_string(worst) + " units in the last place");
        });
  }
}

ActivationProblem flat(Nonlinearity kind, int64_t size, int mode) {
  return {DType::Float32, mode > 0, kind, mode > 1, size, 1, size, 1, 1};
}

void check_sizes() {
  for (int64_t size : {1, 15, 16, 33, 4096, 5000, 9001})
    for (Nonlinearity kind : kKinds)
      for (int mode = 0; mode < 3; ++mode) {
        Case c{flat(kind, size, mode), test::hashed_values(1, size), test::hashed_values(2, size),
               test::hashed_values(3, size), clamps(kind) ? 1.0 : 8};
        for (float& x : c.x) x *= 9;
        check(c);
      }
}

// Where exponentials leave float32's range, and what is no number.
void check_extremes() {
  const Values x{-1e30f, -104, -100, -89, -88, -40, -17, -1e-30f, 0, 1e-30f, 17, 40, 88, 89, 100, 1e30f};
  for (Nonlinearity kind : kKinds)
    for (int mode : {0, 1})
      check({flat(kind, 16, mode), x, Values(16, 1), Values(16, 0), clamps(kind) ? 1.0 : 8});
  for (Isa isa : available_isas()) {
    force_isa(isa);
    for (Nonlinearity kind : kKinds)
      for (const ActivationSolver* solver : activation_registry().list(DeviceKind::Cpu)) {
        const ActivationProblem p = flat(kind, 20, 0);
        if (!solver->accepts(p)) continue;
        Guarded nan(Values(20, NAN)), high(Values(20, INFINITY)), y(20);
        solver->run(p, {nan.data(), y.data(), nullptr, nullptr, nullptr}, CpuContext(1));
        for (float value : y.values()) CHECK(std::isnan(value));
        solver->run(p, {high.data(), y.data(), nullptr, nullptr, nullptr}, CpuContext(1));
        for (float value : y.values()) CHECK(value == forward(kind, INFINITY));
      }
    // A clamp lets NaN's gradient through, and Relu infinity's.
    Guarded y(Values{NAN, INFINITY}), dy(Values{2, 2}), dx(2);
    const ActivationProblem p = flat(Nonlinearity::Relu, 2, 1);
    for (const ActivationSolver* solver : activation_registry().list(DeviceKind::Cpu)) {
      if (!solver->accepts(p)) continue;
      solver->run(p, {nullptr, nullptr, y.data(), dy.data(), dx.data()}, CpuContext(1));
      CHECK(dx.data()[0] == 2 && dx.data()[1] == 2);
    }
  }
}

// sigmoid(0) is a half, but lanes past the last channel stay zero.
void check_pad_lanes() {
  for (Isa isa : available_isas()) {
    force_isa(isa);
    const int block = simd_width(isa);
    for (const Shape& shape : {Shape{2, 21, 3, 5}, Shape{3, 5, 1, 1}, Shape{1, 37, 40, 41},
                               Shape{2, 16, 2, 2}, Shape{1, 1, 70, 1}})
      for (Nonlinearity kind : {Nonlinearity::Sigmoid, Nonlinearity::Hardsigmoid}) {
        const Values plain = test::hashed_values(4, shape.size());
        const Guarded x(shape, plain, block);
        ActivationProblem p{};
        p.kind = kind;
        p.size = static_cast<int64_t>(x.size());
        p.blocks = (shape[1] + block - 1) / block, p.pixels = shape[2] * shape[3];
        p.lanes = block, p.last_lanes = static_cast<int32_t>(shape[1] - (p.blocks - 1) * block);
        for (const ActivationSolver* solver : activation_registry().list(DeviceKind::Cpu))
          for (int threads : {1, 3}) {
            if (!solver->accepts(p)) continue;
            Guarded y(shape, block);
            solver->run(p, {x.data(), y.data(), nullptr, nullptr, nullptr}, CpuContext(threads));
            CHECK(y.intact() && y.pad_lanes_zero(shape, block));
            const Values found = y.plain(shape, block);
            for (size_t i = 0; i < found.size(); ++i) CHECK(units(found[i], forward(kind, plain[i]), 0) < 8);
          }
      }
  }
}

void check_doors() {
  const auto stream = std::make_shared<CpuStream>();
  for (const Shape& shape : {Shape{2, 21, 3, 5}, Shape{2, 3, 4, 5}, Shape{7, 9}, Shape{5}, Shape{}})
    for (Nonlinearity kind : kKinds)
      for (bool blocked : {false, true}) {
        const Values values = test::hashed_values(5, shape.size());
        const TensorPtr x = test::tensor_of(stream, shape, values),
                        dy = test::tensor_of(stream, shape, values),
                        dx = test::tensor_of(stream, shape, values);
        if (blocked) x->in_layout(x->activation_block());
        const TensorPtr y = activation(*x, kind);
        const Tensor& saved = saves_input(kind) ? *x : *y;
        activation_grad(saved, *dy, kind, *dx, GradMode::Accumulate);
        const Values found = test::values_of(*y), gradient = test::values_of(*dx);
        for (size_t i = 0; i < values.size(); ++i) {
          CHECK(units(found[i], forward(kind, values[i]), 1e-3) < 8);
          CHECK(units(gradient[i], values[i] * (1 + slope(kind, values[i])), 0.1) < 8);
        }
      }
  const Tensor integers(stream, {2, 3}, DType::Int32);
  test::check_throws(ErrorCode::Unsupported, "hardswish: x is int32",
                     [&] { activation(integers, Nonlinearity::Hardswish); });
  const TensorPtr x = test::tensor_of(stream, {2, 3}, Values(6, 1)),
                  y = test::tensor_of(stream, {3, 2}, Values(6, 1));
  test::check_throws(ErrorCode::InvalidShape, "silu: gradient [3, 2] for [2, 3]",
                     [&] { activation_grad(*x, *y, Nonlinearity::Silu, *x, GradMode::Overwrite); });
}

}  // namespace
}  // namespace groupconv

int main() {
  groupconv::check_sizes();
  groupconv::check_extremes();
  groupconv::check_pad_lanes();
  groupconv::check_doors();
  return groupconv::test::report();
}
