// The CUDA solvers against the CPU's reference, through the doors.
#include "cuda/testing.h"
#include "ops/activation/activation.h"

namespace groupconv {
namespace {

constexpr Nonlinearity kKinds[] = {Nonlinearity::Relu, Nonlinearity::Relu6,       Nonlinearity::Sigmoid,
                                   Nonlinearity::Silu, Nonlinearity::Hardsigmoid, Nonlinearity::Hardswish};

// What backward gets: numbers on both sides of a clamp's ends, and results of sigmoids.
test::Values saved_values(Nonlinearity kind, test::Values values) {
  if (kind == Nonlinearity::Sigmoid || kind == Nonlinearity::Hardsigmoid)
    for (float& value : values) value = 0.5f + value / 12;
  return values;
}

// Takes one nonlinearity for another.
template <Nonlinearity kGiven, Nonlinearity kTaken>
void mistake(ActivationProblem& p) {
  if (p.kind == kGiven) p.kind = kTaken;
}

}  // namespace
}  // namespace groupconv

static void tests() {
  using namespace groupconv;
  using enum Nonlinearity;
  test::must_notice(activation_registry(), "packs", "stride launch block thread",
                    {{"the last element is left out", [](auto& p, auto&) { --p.size; }},
                     {"no upper end", [](auto& p, auto&) { mistake<Relu6, Relu>(p); }},
                     {"an upper end too many", [](auto& p, auto&) { mistake<Relu, Relu6>(p); }},
                     {"hardsigmoid for sigmoid", [](auto& p, auto&) { mistake<Sigmoid, Hardsigmoid>(p); }},
                     {"hardswish for silu", [](auto& p, auto&) { mistake<Silu, Hardswish>(p); }},
                     {"sigmoid for hardsigmoid", [](auto& p, auto&) { mistake<Hardsigmoid, Sigmoid>(p); }},
                     {"silu for hardswish", [](auto& p, auto&) { mistake<Hardswish, Silu>(p); }},
                     {"what was saved for dy", [](auto&, auto& b) { b.dy = b.saved; }},
                     {"added to what was there", [](auto& p, auto&) { p.accumulate = true; }},
                     {"not added to what was there", [](auto& p, auto&) { p.accumulate = false; }}});
  for (DType dtype : test::kDTypes)
    for (const Shape& shape :
         {Shape{9, 4001}, Shape{2, 5, 3, 7}, Shape{1, 16, 9, 9}, Shape{3}, Shape{40, 301}})
      for (Nonlinearity kind : kKinds) {
        test::Values values = test::hashed_values(1, static_cast<size_t>(shape.size()));
        for (float& value : values) value *= 9;
        test::check_on_cuda(activation_registry(), dtype, test::rounding(dtype), "forward",
                            [&](const test::Place& on) {
                              return test::Tensors{activation(*on.activation(shape, values), kind)};
                            });
        for (GradMode mode : {GradMode::Overwrite, GradMode::Accumulate})
          test::check_on_cuda(
              activation_registry(), dtype, test::rounding(dtype), "backward", [&](const test::Place& on) {
                const TensorPtr dx = mode == GradMode::Overwrite ? on.target(shape) : on.activation(shape, 3);
                activation_grad(*on.activation(shape, saved_values(kind, values)), *on.activation(shape, 2),
                                kind, *dx, mode);
                return test::Tensors{dx};
              });
      }
}

int main() { return groupconv::test::on_a_device(tests); }
