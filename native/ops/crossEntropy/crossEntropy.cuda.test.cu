// The CUDA solver against the CPU's reference, through the doors; labels that are no class.
#include "cuda/testing.h"
#include "ops/crossEntropy/crossEntropy.h"

namespace groupconv {
namespace {

void check(int64_t n, int64_t classes, float smoothing, DType dtype, GradMode mode) {
  test::Values values = test::hashed_values(1, static_cast<size_t>(n * classes));
  for (float& value : values) value = 2 * value + 50;
  std::vector<int32_t> labels(static_cast<size_t>(n));
  for (size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<int32_t>((7 * i + 3) % classes);
  // One class: the loss is a zero that float32 computes to some 1e-7 of the logits' size.
  if (classes > 1)
    test::check_on_cuda(cross_entropy_registry(), dtype, 2e-6, "crossEntropy", [&](const test::Place& on) {
      const TensorPtr logits = on.activation({n, classes}, values);
      return test::Tensors{cross_entropy(*logits, *on.integers({n}, labels), smoothing)};
    });
  test::check_on_cuda(cross_entropy_registry(), dtype, 4 * test::rounding(dtype), "crossEntropy gradient",
                      [&](const test::Place& on) {
                        const TensorPtr logits = on.activation({n, classes}, values);
                        const TensorPtr dx = mode == GradMode::Overwrite ? on.target({n, classes})
                                                                         : on.activation({n, classes}, 2);
                        cross_entropy_grad(*on.parameter({1}, test::Values{1.5f}), *logits,
                                           *on.integers({n}, labels), smoothing, *dx, mode);
                        return test::Tensors{dx};
                      });
}

void check_wrong_labels() {
  const test::Place cuda{test::cuda_stream(), DType::Float32};
  const TensorPtr logits = cuda.activation({40, 3}, 1), dx = cuda.target({40, 3});
  std::vector<int32_t> labels(40, 1);
  labels[30] = 3, labels[17] = -2;
  const TensorPtr wrong = cuda.integers({40}, labels);
  const auto told = [&] {
    test::check_throws(ErrorCode::InvalidArgument, "crossEntropy: label -2 of sample 17, 3 classes",
                       [&] { cuda.stream->synchronize(); });
  };
  const TensorPtr loss = cross_entropy(*logits, *wrong, 0);
  told();
  CHECK(std::isnan(test::download(*loss)[0]));  // told once: the stream goes on
  cross_entropy(*logits, *wrong, 0);
  cross_entropy_grad(*cuda.parameter({1}, test::Values{1}), *logits, *wrong, 0.1f, *dx, GradMode::Overwrite);
  told();
  const test::Values gradient = test::download(*dx);
  for (size_t i = 0; i < gradient.size(); ++i) CHECK((gradient[i] == 0) == (i / 3 == 17 || i / 3 == 30));
}

}  // namespace
}  // namespace groupconv

static void tests() {
  using namespace groupconv;
  test::must_notice(cross_entropy_registry(), "rows", "barrier exchange atomic launch block thread",
                    {{"the last class is left out", [](auto& p, auto&) { --p.classes; }},
                     {"the last sample is left out", [](auto& p, auto&) { --p.n; }},
                     {"labels are not smoothed", [](auto& p, auto&) { p.label_smoothing = 0; }},
                     {"the neighbour's label", [](auto&, auto& b) { ++b.labels; }},
                     {"added to what was there", [](auto& p, auto&) { p.accumulate = true; }},
                     {"not added to what was there", [](auto& p, auto&) { p.accumulate = false; }}});
  for (const DType dtype : test::kDTypes)
    for (const float smoothing : {0.0f, 0.1f, 1.0f})
      for (const GradMode mode : {GradMode::Overwrite, GradMode::Accumulate}) {
        check(9, 10, smoothing, dtype, mode);
        check(3, 1000, smoothing, dtype, mode);
        check(70, 33, smoothing, dtype, mode);
        check(1, 2, smoothing, dtype, mode);
      }
  test::prove("crossEntropy, rows",
              [] { test::for_thread_orders([](const char*) { check_wrong_labels(); }); });
}

int main() { return groupconv::test::on_a_device(tests); }
