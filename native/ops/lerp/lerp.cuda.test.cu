// The CUDA solver against the CPU's reference, through the door; exact ends.
#include "cuda/testing.h"
#include "ops/lerp/lerp.h"

namespace groupconv {
namespace {

test::Tensors moved(const test::Place& on, const std::vector<Shape>& shapes, double weight) {
  test::Tensors targets, sources;
  std::vector<Tensor*> to;
  std::vector<const Tensor*> from;
  for (uint32_t i = 0; i < shapes.size(); ++i) {
    targets.push_back(on.parameter(shapes[i], 2 * i));
    sources.push_back(on.parameter(shapes[i], 2 * i + 1));
    to.push_back(targets.back().get());
    from.push_back(sources.back().get());
  }
  lerp(to, from, weight);
  return targets;
}

}  // namespace
}  // namespace groupconv

int main() {
  using namespace groupconv;
  std::vector<Shape> shapes{{3}, {16, 7, 3, 3}, {40000}, {1}, {16384}};
  for (int64_t i = 1; i < 160; ++i) shapes.push_back({i});  // several batches of chunks
  for (const double weight : {0.0, 0.001, 0.3, 0.9, 1.0})
    test::check_on_cuda(lerp_registry(), DType::Float32, 1e-7, "lerp",
                        [&](const test::Place& on) { return moved(on, shapes, weight); });
  const test::Place cuda{test::cuda_stream(), DType::Float32};
  for (const uint32_t end : {0, 1})
    CHECK(test::download(*moved(cuda, {{300}}, end)[0]) == test::hashed_values(end, 300));
  return test::report();
}
