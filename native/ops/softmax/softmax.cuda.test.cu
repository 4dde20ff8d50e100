// The CUDA solver against the CPU's reference, through the doors; values at the ends.
#include "cuda/testing.h"
#include "ops/softmax/softmax.h"

namespace groupconv {
namespace {

void check(const Shape& shape, int axis, DType dtype, bool log, GradMode mode) {
  test::Values values = test::hashed_values(1, static_cast<size_t>(shape.size()));
  for (float& value : values) value = 8 * value + 100;
  // y is rounded before its gradient reads it: twice the rounding, and a difference of like numbers.
  test::check_on_cuda(softmax_registry(), dtype, 2 * test::rounding(dtype), "softmax",
                      [&](const test::Place& on) {
                        return test::Tensors{softmax(*on.activation(shape, values), axis, log)};
                      });
  test::Values outputs = test::hashed_values(2, static_cast<size_t>(shape.size()));
  for (float& y : outputs) y = log ? -1 - 3 * std::fabs(y) : std::fabs(y);
  test::check_on_cuda(
      softmax_registry(), dtype, 2 * test::rounding(dtype), "softmax gradient", [&](const test::Place& on) {
        const TensorPtr dx = mode == GradMode::Overwrite ? on.target(shape) : on.activation(shape, 4);
        softmax_grad(*on.activation(shape, outputs), *on.activation(shape, 3), axis, log, *dx, mode);
        return test::Tensors{dx};
      });
}

// The maximum lies with the last lane, of the last warp where there are several, and far above all others.
void check_peaks(const Shape& shape, DType dtype) {
  test::Values values = test::hashed_values(1, static_cast<size_t>(shape.size()));
  const auto count = static_cast<size_t>(shape[1]);
  for (size_t peak = count < 512 ? 31 : 1023; peak < values.size(); peak += count) values[peak] += 200;
  for (const bool log : {false, true})
    test::check_on_cuda(
        softmax_registry(), dtype, 2 * test::rounding(dtype), "softmax",
        [&](const test::Place& on) { return test::Tensors{softmax(*on.activation(shape, values), 1, log)}; });
}

// As the CPU's reference: NaN spreads over its row, -infinity is a zero.
void check_ends() {
  const test::Place cuda{test::cuda_stream(), DType::Float32};
  for (const test::Values& x : {test::Values{NAN, 1, 2}, test::Values{1, NAN, 2},
                                test::Values{INFINITY, 0, 1}, test::Values{-INFINITY, -INFINITY, -INFINITY}})
    for (const bool log : {false, true})
      for (const float y : test::download(*softmax(*cuda.activation({3}, x), 0, log))) CHECK(std::isnan(y));
  const test::Values y = test::download(*softmax(*cuda.activation({3}, {0, -INFINITY, 0}), 0, false));
  CHECK(y == test::Values{0.5f, 0, 0.5f});
}

}  // namespace
}  // namespace groupconv

static void tests() {
  using namespace groupconv;
  test::must_notice(softmax_registry(), "rows", "barrier exchange stride launch block thread",
                    {{"the last class is left out", [](auto& p, auto&) { --p.count; }},
                     {"rows along another axis are taken for runs",
                      [](auto& p, auto&) { p.outer *= p.inner, p.inner = 1; }},
                     {"a logarithm too many, or too few", [](auto& p, auto&) { p.log = !p.log; }},
                     {"y for dy", [](auto&, auto& b) { b.dy = b.y; }},
                     {"added to what was there", [](auto& p, auto&) { p.accumulate = true; }},
                     {"not added to what was there", [](auto& p, auto&) { p.accumulate = false; }}});
  for (const DType dtype : test::kDTypes) {
    check_peaks({3, 100}, dtype);
    check_peaks({2, 5000}, dtype);
    check({2, 3, 50, 45}, 1, dtype, false, GradMode::Overwrite);  // more rows than threads
    for (const bool log : {false, true})
      for (const GradMode mode : {GradMode::Overwrite, GradMode::Accumulate}) {
        check({9, 10}, 1, dtype, log, mode);
        check({3, 100}, -1, dtype, log, mode);
        check({2, 5000}, 1, dtype, log, mode);
        check({2, 20, 3, 5}, 1, dtype, log, mode);
        check({7}, 0, dtype, log, mode);
      }
  }
  check_ends();
}

int main() { return groupconv::test::on_a_device(tests); }
