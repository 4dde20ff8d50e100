// The CUDA solver against the CPU's reference, through the doors.
#include "cuda/testing.h"
#include "ops/biasGrad/biasGrad.h"

namespace groupconv {
namespace {

test::Values shifted(const Shape& shape) {
  test::Values dy = test::hashed_values(1, static_cast<size_t>(shape.size()));
  for (float& value : dy) value += 0.5f;
  return dy;
}

// Gradients of values [images, C, 1, 1], which have dy's dtype.
test::Tensors of_values(const test::Place& on, const Shape& shape, int64_t images, GradMode mode) {
  const Shape values{images, shape[1], 1, 1};
  const auto target = [&] {
    return mode == GradMode::Overwrite ? on.target(values) : on.activation(values, 2);
  };
  const TensorPtr dy = on.activation(shape, shifted(shape)), dbias = target(), dscale = target();
  bias_grad(*dy, *dbias, mode);
  scale_grad(*dy, *on.activation(shape, 3), *dscale, mode);
  return {dbias, dscale};
}

}  // namespace
}  // namespace groupconv

static void tests() {
  using namespace groupconv;
  test::must_notice(bias_grad_registry(), "parts", "barrier launch block thread",
                    {{"the last channel is left out", [](auto& p, auto&) { --p.c; }},
                     {"the last image is left out", [](auto& p, auto&) { --p.n; }},
                     {"the last pixels are left out", [](auto& p, auto&) { --p.pixels; }},
                     {"x for dy",
                      [](auto& p, auto& b) {
                        if (p.scaled) b.dy = b.x;
                      }},
                     {"not scaled", [](auto& p, auto&) { p.scaled = false; }},
                     {"another dtype",
                      [](auto& p, auto&) {
                        if (p.grad_dtype != DType::Float32) p.grad_dtype = DType::Float16;
                      }},
                     {"added to what was there", [](auto& p, auto&) { p.accumulate = true; }},
                     {"not added to what was there", [](auto& p, auto&) { p.accumulate = false; }}});
  for (const DType dtype : test::kDTypes)
    for (const GradMode mode : {GradMode::Overwrite, GradMode::Accumulate}) {
      for (const Shape& shape : {Shape{2, 8, 7, 7}, Shape{3, 5, 4, 6}, Shape{300, 33}, Shape{2, 1000},
                                 Shape{1, 3, 50, 41}, Shape{1, 1, 1, 1}, Shape{2, 16, 70, 61}})
        test::check_on_cuda(bias_grad_registry(), dtype, test::rounding(DType::Float32), "biasGrad",
                            [&](const test::Place& on) {
                              const TensorPtr dbias = mode == GradMode::Overwrite
                                                          ? on.parameter_target({shape[1]})
                                                          : on.parameter({shape[1]}, 2);
                              bias_grad(*on.activation(shape, shifted(shape)), *dbias, mode);
                              return test::Tensors{dbias};
                            });
      for (const Shape& shape : {Shape{2, 8, 7, 7}, Shape{3, 5, 4, 6}, Shape{2, 40, 70, 61}})
        for (const int64_t images : {int64_t{1}, shape[0]})
          test::check_on_cuda(bias_grad_registry(), dtype, test::rounding(dtype), "of values",
                              [&](const test::Place& on) { return of_values(on, shape, images, mode); });
    }
}

int main() { return groupconv::test::on_a_device(tests); }
