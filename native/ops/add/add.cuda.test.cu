// The CUDA solvers against the CPU's reference, through the doors, layouts mixed.
#include "cuda/testing.h"
#include "ops/add/add.h"

namespace groupconv {
namespace {

constexpr Activation kActivations[] = {Activation::None, Activation::Relu, Activation::Relu6};

TensorPtr summand(const test::Place& on, const Shape& shape) {
  test::Values values = test::hashed_values(1, static_cast<size_t>(shape.size()));
  for (float& value : values) value *= 8;
  return on.activation(shape, values);
}

}  // namespace
}  // namespace groupconv

static void tests() {
  using namespace groupconv;
  test::must_notice(add_registry(), "packs", "stride launch block thread",
                    {{"the last element is left out", [](auto& p, auto&) { --p.broadcast.lanes; }},
                     {"no activation", [](auto& p, auto&) { p.activation = Activation::None; }},
                     {"an activation too many", [](auto& p, auto&) { p.activation = Activation::Relu; }},
                     {"a twice", [](auto&, auto& b) { b.b = b.a; }}});
  test::must_notice(add_registry(), "channels", "stride launch block thread",
                    {{"the last image is left out", [](auto& p, auto&) { --p.broadcast.n; }},
                     {"the last pixel is left out", [](auto& p, auto&) { --p.broadcast.pixels; }},
                     {"the first image's values for all",
                      [](auto& p, auto&) { std::swap(p.broadcast.n, p.broadcast.blocks); }},
                     {"no activation", [](auto& p, auto&) { p.activation = Activation::None; }}});
  for (const DType dtype : test::kDTypes)
    for (const Activation activation : kActivations) {
      for (const Shape& shape :
           {Shape{9, 4001}, Shape{2, 5, 3, 7}, Shape{1, 16, 9, 9}, Shape{3}, Shape{40, 301}, Shape{}})
        test::check_on_cuda(add_registry(), dtype, test::rounding(dtype), "add", [&](const test::Place& on) {
          const TensorPtr a = summand(on, shape), b = on.activation(shape, 2);
          if (shape.rank() == 4) b->in_layout(b->activation_block());
          const TensorPtr sum = add(*a, *b, activation);
          accumulate(*a, *b);
          return test::Tensors{sum, a};
        });
      for (const Shape& shape : {Shape{3, 5, 3, 7}, Shape{2, 16, 40, 41}, Shape{40, 24, 1, 1}})
        for (const int64_t images : {int64_t{1}, shape[0]}) {
          if (shape == Shape{images, shape[1], 1, 1}) continue;
          test::check_on_cuda(
              add_registry(), dtype, test::rounding(dtype), "add", [&](const test::Place& on) {
                return test::Tensors{
                    add(*on.activation({images, shape[1], 1, 1}, 2), *summand(on, shape), activation)};
              });
        }
    }
}

int main() { return groupconv::test::on_a_device(tests); }
