// The CUDA solvers against the CPU's reference, through the doors.
#include "cuda/testing.h"
#include "ops/activation/activation.h"

int main() {
  using namespace groupconv;
  test::must_notice(activation_registry(), "packs", "stride launch block thread",
                    {{"the last element is left out", [](auto& p, auto&) { --p.size; }},
                     {"no upper end", [](auto& p, auto&) { p.kind = Activation::Relu; }},
                     {"an upper end too many", [](auto& p, auto&) { p.kind = Activation::Relu6; }},
                     {"y for dy", [](auto&, auto& b) { b.dy = b.y; }},
                     {"added to what was there", [](auto& p, auto&) { p.accumulate = true; }},
                     {"not added to what was there", [](auto& p, auto&) { p.accumulate = false; }}});
  for (DType dtype : test::kDTypes)
    for (const Shape& shape :
         {Shape{9, 4001}, Shape{2, 5, 3, 7}, Shape{1, 16, 9, 9}, Shape{3}, Shape{40, 301}})
      for (Activation kind : {Activation::Relu, Activation::Relu6}) {
        test::Values values = test::hashed_values(1, static_cast<size_t>(shape.size()));
        for (float& value : values) value *= 9;
        test::check_on_cuda(activation_registry(), dtype, 0.1 * test::rounding(dtype), "forward",
                            [&](const test::Place& on) {
                              return test::Tensors{activation(*on.activation(shape, values), kind)};
                            });
        for (GradMode mode : {GradMode::Overwrite, GradMode::Accumulate})
          test::check_on_cuda(
              activation_registry(), dtype, test::rounding(dtype), "backward", [&](const test::Place& on) {
                const TensorPtr y = activation(*on.activation(shape, values), kind);
                const TensorPtr dx = mode == GradMode::Overwrite ? on.target(shape) : on.activation(shape, 3);
                activation_grad(*y, *on.activation(shape, 2), kind, *dx, mode);
                return test::Tensors{dx};
              });
      }
  return test::report();
}
