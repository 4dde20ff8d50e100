// The CUDA solvers against the CPU's reference, through the doors.
#include "cuda/testing.h"
#include "ops/mul/mul.h"

static void tests() {
  using namespace groupconv;
  test::must_notice(mul_registry(), "packs", "stride launch block thread",
                    {{"the last element is left out", [](auto& p, auto&) { --p.broadcast.lanes; }},
                     {"a twice", [](auto&, auto& b) { b.b = b.a; }},
                     {"added to what was there", [](auto& p, auto&) { p.accumulate = true; }},
                     {"not added to what was there", [](auto& p, auto&) { p.accumulate = false; }}});
  test::must_notice(mul_registry(), "channels", "stride launch block thread",
                    {{"the last image is left out", [](auto& p, auto&) { --p.broadcast.n; }},
                     {"the last pixel is left out", [](auto& p, auto&) { --p.broadcast.pixels; }},
                     {"an image's values for another's",
                      [](auto& p, auto&) { std::swap(p.broadcast.n, p.broadcast.blocks); }},
                     {"added to what was there", [](auto& p, auto&) { p.accumulate = true; }},
                     {"not added to what was there", [](auto& p, auto&) { p.accumulate = false; }}});
  struct Pair {
    Shape x, values;
  };
  for (const DType dtype : test::kDTypes)
    for (const auto& [shape, values] :
         {Pair{{9, 4001}, {9, 4001}}, Pair{{2, 5, 3, 7}, {2, 5, 3, 7}}, Pair{{3}, {3}}, Pair{{}, {}},
          Pair{{3, 5, 3, 7}, {1, 5, 1, 1}}, Pair{{3, 5, 3, 7}, {3, 5, 1, 1}},
          Pair{{2, 16, 40, 41}, {1, 16, 1, 1}}, Pair{{2, 16, 40, 41}, {2, 16, 1, 1}},
          Pair{{40, 24, 1, 1}, {1, 24, 1, 1}}})
      test::check_on_cuda(mul_registry(), dtype, test::rounding(dtype), "mul", [&](const test::Place& on) {
        const TensorPtr x = on.activation(shape, 1), factors = on.activation(values, 2),
                        dx = on.target(shape), sum = on.activation(shape, 3);
        const TensorPtr y = mul(*factors, *x);
        mul_grad(*x, *factors, *dx, GradMode::Overwrite);
        mul_grad(*x, *factors, *sum, GradMode::Accumulate);
        return test::Tensors{y, dx, sum};
      });
}

int main() { return groupconv::test::on_a_device(tests); }
