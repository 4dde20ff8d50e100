// The CUDA solver against the CPU's reference, through the door; norms that are not finite.
#include "cuda/testing.h"
#include "ops/clipGradNorm/clipGradNorm.h"

namespace groupconv {
namespace {

// The norm, then all gradients after clipping.
test::Tensors clip(const test::Place& on, const std::vector<Shape>& shapes, double max_norm, double factor) {
  test::Tensors owned;
  std::vector<Tensor*> gradients;
  for (uint32_t i = 0; i < shapes.size(); ++i) {
    owned.push_back(on.parameter(shapes[i], i));
    gradients.push_back(owned.back().get());
  }
  owned.insert(owned.begin(), clip_grad_norm(gradients, max_norm, factor));
  return owned;
}

}  // namespace
}  // namespace groupconv

static void tests() {
  using namespace groupconv;
  test::must_notice(clip_grad_norm_registry(), "batches", "barrier exchange stride launch block thread",
                    {{"the last chunk is left out", [](auto& p, auto&) { --p.chunks; }},
                     {"nothing is clipped", [](auto& p, auto&) { p.max_norm = INFINITY; }},
                     {"no factor", [](auto& p, auto&) { p.factor = 1; }}});
  const std::vector<Shape> few{{3}, {16, 7, 3, 3}, {1}, {257}, {40000}};
  std::vector<Shape> many;  // several batches of chunks
  for (int64_t i = 1; i < 240; ++i) many.push_back({i});
  many.insert(many.end(), few.begin(), few.end());
  const auto check = [&](const std::vector<Shape>& shapes, double max_norm, double factor) {
    test::check_on_cuda(clip_grad_norm_registry(), DType::Float32, 1e-6, "clipGradNorm",
                        [&](const test::Place& on) { return clip(on, shapes, max_norm, factor); });
  };
  for (const double factor : {1.0, 1.0 / 65536})
    for (const double max_norm : {0.5, 1e9, double{INFINITY}}) check(few, max_norm, factor);
  check(many, 0.5, 1);
  check(many, 1e9, 1.0 / 65536);
  const test::Place cuda{test::cuda_stream(), DType::Float32};
  const TensorPtr endless = cuda.parameter({2}, {INFINITY, 1}), lost = cuda.parameter({2}, {NAN, 1});
  CHECK(std::isinf(test::download(*clip_grad_norm({endless.get()}, 1))[0]));
  CHECK(std::isnan(test::download(*endless)[0]));
  CHECK(std::isnan(test::download(*clip_grad_norm({lost.get()}, 1))[0]));
  CHECK(std::isnan(test::download(*lost)[1]));
}

int main() { return groupconv::test::on_a_device(tests); }
