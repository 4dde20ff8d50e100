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

static void tests() {
  using namespace groupconv;
  test::must_notice(lerp_registry(), "batches", "stride launch block thread",
                    {{"the last chunk is left out", [](auto& p, auto&) { --p.chunks; }},
                     {"source and target change places", [](auto& p, auto&) { std::swap(p.weight, p.rest); }},
                     {"half the weight", [](auto& p, auto&) { p.weight /= 2; }},
                     {"no rest", [](auto& p, auto&) { p.rest = 0; }}});
  const std::vector<Shape> few{{3}, {16, 7, 3, 3}, {1}, {16384}, {40000}};
  std::vector<Shape> many;  // several batches of chunks
  for (int64_t i = 1; i < 160; ++i) many.push_back({i});
  many.insert(many.end(), few.begin(), few.end());
  for (const auto& shapes : {few, many})
    for (const double weight : {0.0, 0.001, 0.3, 0.9, 1.0})
      test::check_on_cuda(lerp_registry(), DType::Float32, 1e-7, "lerp",
                          [&](const test::Place& on) { return moved(on, shapes, weight); });
  const test::Place cuda{test::cuda_stream(), DType::Float32};
  for (const uint32_t end : {0, 1})
    CHECK(test::download(*moved(cuda, {{300}}, end)[0]) == test::hashed_values(end, 300));
}

int main() { return groupconv::test::on_a_device(tests); }
