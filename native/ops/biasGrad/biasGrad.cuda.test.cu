// The CUDA solver against the CPU's reference, through the door.
#include "cuda/testing.h"
#include "ops/biasGrad/biasGrad.h"

int main() {
  using namespace groupconv;
  test::must_notice(bias_grad_registry(), "parts", "barrier launch block thread",
                    {{"the last channel is left out", [](auto& p, auto&) { --p.c; }},
                     {"the last image is left out", [](auto& p, auto&) { --p.n; }},
                     {"the last pixels are left out", [](auto& p, auto&) { --p.pixels; }},
                     {"added to what was there", [](auto& p, auto&) { p.accumulate = true; }},
                     {"not added to what was there", [](auto& p, auto&) { p.accumulate = false; }}});
  for (const DType dtype : test::kDTypes)
    for (const Shape& shape : {Shape{2, 8, 7, 7}, Shape{3, 5, 4, 6}, Shape{300, 33}, Shape{2, 1000},
                               Shape{1, 3, 50, 41}, Shape{1, 1, 1, 1}, Shape{2, 16, 70, 61}})
      for (const GradMode mode : {GradMode::Overwrite, GradMode::Accumulate})
        test::check_on_cuda(bias_grad_registry(), dtype, test::rounding(DType::Float32), "biasGrad",
                            [&](const test::Place& on) {
                              test::Values dy = test::hashed_values(1, static_cast<size_t>(shape.size()));
                              for (float& value : dy) value += 0.5f;
                              const TensorPtr dbias = mode == GradMode::Overwrite
                                                          ? on.parameter_target({shape[1]})
                                                          : on.parameter({shape[1]}, 2);
                              bias_grad(*on.activation(shape, dy), *dbias, mode);
                              return test::Tensors{dbias};
                            });
  return test::report();
}
