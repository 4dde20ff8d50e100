#include "ops/lerp/lerp.h"

#include "core/chunks.h"
#include "core/door.h"

namespace groupconv {
namespace {

void check_pair(const Tensor& target, const Tensor& source) {
  require(target.shape() == source.shape(), ErrorCode::InvalidShape, "lerp: target ", target.shape(),
          ", source ", source.shape());
  require_float32("lerp", "target", target);
  require_float32("lerp", "source", source);
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const LerpProblem& p) {
  return out << p.chunks << " chunks with weight " << p.weight;
}

Registry<LerpProblem, LerpBuffers>& lerp_registry() {
  static Registry<LerpProblem, LerpBuffers> registry("lerp");
  return registry;
}

void lerp(const std::vector<Tensor*>& targets, const std::vector<const Tensor*>& sources, double weight) {
  require(targets.size() == sources.size(), ErrorCode::InvalidArgument, "lerp: ", targets.size(),
          " targets, ", sources.size(), " sources");
  require_fraction("lerp", "weight", weight);
  for (size_t i = 0; i < targets.size(); ++i) check_pair(*targets[i], *sources[i]);
  if (targets.empty()) return;
  std::vector<LerpChunk> chunks;
  for (size_t i = 0; i < targets.size(); ++i) {
    const float* const source = sources[i]->in_layout(1);
    float* const target = targets[i]->update_in_layout(1);
    for_chunks(targets[i]->size(), [&](int64_t at, int64_t size) {
      chunks.push_back({target + at, source + at, size});
    });
  }
  Stream& stream = targets[0]->stream();
  const LerpProblem problem{static_cast<float>(weight), static_cast<float>(1 - weight),
                            static_cast<int64_t>(chunks.size())};
  const auto& solver = lerp_registry().choose(stream.device().kind, problem);
  stream.submit([run = solver.run, problem, chunks = std::move(chunks)](const ExecutionContext& context) {
    run(problem, {chunks.data()}, context);
  });
}

}  // namespace groupconv
