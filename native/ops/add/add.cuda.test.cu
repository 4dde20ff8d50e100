// The CUDA solver against the CPU's reference, through the doors, layouts mixed.
#include "cuda/testing.h"
#include "ops/add/add.h"

int main() {
  using namespace groupconv;
  test::must_notice(add_registry(), "packs", "stride launch block thread",
                    {{"the last element is left out", [](auto& p, auto&) { --p.size; }},
                     {"no activation", [](auto& p, auto&) { p.activation = Activation::None; }},
                     {"an activation too many", [](auto& p, auto&) { p.activation = Activation::Relu; }},
                     {"a twice", [](auto&, auto& b) { b.b = b.a; }}});
  for (const DType dtype : test::kDTypes)
    for (const Shape& shape :
         {Shape{9, 4001}, Shape{2, 5, 3, 7}, Shape{1, 16, 9, 9}, Shape{3}, Shape{40, 301}, Shape{}})
      for (const Activation activation : {Activation::None, Activation::Relu, Activation::Relu6})
        test::check_on_cuda(add_registry(), dtype, test::rounding(dtype), "add", [&](const test::Place& on) {
          test::Values values = test::hashed_values(1, static_cast<size_t>(shape.size()));
          for (float& value : values) value *= 8;
          const TensorPtr a = on.activation(shape, values), b = on.activation(shape, 2);
          if (shape.rank() == 4) b->in_layout(b->activation_block());
          const TensorPtr sum = add(*a, *b, activation);
          accumulate(*a, *b);
          return test::Tensors{sum, a};
        });
  return test::report();
}
