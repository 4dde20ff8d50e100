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

int main() {
  using namespace groupconv;
  std::vector<Shape> shapes{{3}, {16, 7, 3, 3}, {40000}, {1}, {257}};
  for (int64_t i = 1; i < 240; ++i) shapes.push_back({i});  // several batches of chunks
  for (const double factor : {1.0, 1.0 / 65536})
    for (const double max_norm : {0.5, 1e9, double{INFINITY}})
      test::check_on_cuda(clip_grad_norm_registry(), DType::Float32, 1e-6, "clipGradNorm",
                          [&](const test::Place& on) { return clip(on, shapes, max_norm, factor); });
  const test::Place cuda{test::cuda_stream(), DType::Float32};
  const TensorPtr endless = cuda.parameter({2}, {INFINITY, 1}), lost = cuda.parameter({2}, {NAN, 1});
  CHECK(std::isinf(test::download(*clip_grad_norm({endless.get()}, 1))[0]));
  CHECK(std::isnan(test::download(*endless)[0]));
  CHECK(std::isnan(test::download(*clip_grad_norm({lost.get()}, 1))[0]));
  CHECK(std::isnan(test::download(*lost)[1]));
  return test::report();
}
