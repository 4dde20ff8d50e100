// Every solver on every instruction set and thread count against the float64 reference, through the door;
// guards; exact ends.
#include "ops/lerp/lerp.h"

#include "core/check.h"
#include "cpu/everywhere.h"
#include "cpu/stream.h"

namespace groupconv {
namespace {

using test::Guarded;
using Values = std::vector<float>;

TensorPtr make(const std::shared_ptr<Stream>& stream, const Shape& shape, uint32_t seed) {
  return test::tensor_of(stream, shape, test::hashed_values(seed, static_cast<size_t>(shape.size())));
}

Values moved(const char* solver, const std::vector<Shape>& shapes, double weight) {
  lerp_registry().force(solver);
  const auto stream = std::make_shared<CpuStream>();
  std::vector<TensorPtr> targets, sources;
  for (uint32_t i = 0; i < shapes.size(); ++i) {
    targets.push_back(make(stream, shapes[i], 2 * i));
    sources.push_back(make(stream, shapes[i], 2 * i + 1));
    if (shapes[i].rank() == 4) sources.back()->in_layout(stream->activation_block(shapes[i][1]));
  }
  std::vector<Tensor*> to;
  std::vector<const Tensor*> from;
  for (size_t i = 0; i < shapes.size(); ++i) {
    to.push_back(targets[i].get());
    from.push_back(sources[i].get());
  }
  lerp(to, from, weight);
  lerp_registry().force("");
  return test::values_of(targets);
}

void check_solvers() {
  const std::vector<Shape> shapes{{3}, {16, 7, 3, 3}, {40000}, {1}};
  for (double weight : {0.0, 0.001, 0.3, 0.9, 1.0})
    test::check_everywhere(moved("reference", shapes, weight), 1e-7, std::to_string(weight),
                           [&] { return moved("vectorised", shapes, weight); });
  const auto ends = [&](double weight, uint32_t seed) {
    return test::same_bits(moved("vectorised", {{300}}, weight), test::hashed_values(seed, 300));
  };
  CHECK(ends(0, 0) && ends(1, 1));
}

void check_guards() {
  for (Isa isa : available_isas()) {
    force_isa(isa);
    for (int64_t size : {1, 7, 16, 33}) {
      Guarded target(Values(size, 1.0f)), source(Values(size, 0.5f));
      const LerpChunk chunk{target.data(), source.data(), size};
      for (float weight : {0.25f, 0.75f})
        for (const LerpSolver* solver : lerp_registry().list(DeviceKind::Cpu))
          solver->run({weight, 1 - weight, 1}, {&chunk}, CpuContext(1));
      CHECK(target.intact() && source.intact());
    }
  }
}

void check_wrong_calls() {
  const auto stream = std::make_shared<CpuStream>();
  const TensorPtr a = make(stream, {3}, 0), b = make(stream, {4}, 1);
  lerp({}, {}, 0.5);
  for (const auto& [call, code] : std::vector<std::pair<std::function<void()>, ErrorCode>>{
           {[&] { lerp({a.get()}, {b.get()}, 0.5); }, ErrorCode::InvalidShape},
           {[&] { lerp({a.get()}, {}, 0.5); }, ErrorCode::InvalidArgument},
           {[&] { lerp({a.get()}, {a.get()}, 1.5); }, ErrorCode::InvalidArgument}})
    test::check_throws(code, "", call);
}

}  // namespace
}  // namespace groupconv

int main() {
  using namespace groupconv;
  check_solvers();
  check_guards();
  check_wrong_calls();
  return test::report();
}
