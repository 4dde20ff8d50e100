#include "ops/clipGradNorm/clipGradNorm.h"

#include <cmath>

#include "core/chunks.h"

namespace groupconv {

std::ostream& operator<<(std::ostream& out, const ClipGradNormProblem& p) {
  return out << p.chunks << " chunks times " << p.factor << " to norm " << p.max_norm;
}

Registry<ClipGradNormProblem, ClipGradNormBuffers>& clip_grad_norm_registry() {
  static Registry<ClipGradNormProblem, ClipGradNormBuffers> registry("clipGradNorm");
  return registry;
}

TensorPtr clip_grad_norm(const std::vector<Tensor*>& gradients, double max_norm, double factor) {
  require(!gradients.empty(), ErrorCode::InvalidArgument, "clipGradNorm: no gradients");
  require(max_norm > 0, ErrorCode::InvalidArgument, "clipGradNorm: maxNorm is above 0, found ", max_norm);
  require(factor > 0 && std::isfinite(factor), ErrorCode::InvalidArgument,
          "clipGradNorm: the factor is finite and above 0, found ", factor);
  for (const Tensor* gradient : gradients) require_float32("clipGradNorm", "a gradient", *gradient);
  std::vector<GradientChunk> chunks;
  for (Tensor* gradient : gradients) {
    float* const memory = gradient->update_in_layout(1);
    for_chunks(gradient->size(), [&](int64_t at, int64_t size) { chunks.push_back({memory + at, size}); });
  }
  const std::shared_ptr<Stream>& stream = gradients[0]->shared_stream();
  const TensorPtr norm = make_tensor(stream, Shape{}, DType::Float32);
  const ClipGradNormProblem problem{max_norm, factor, static_cast<int64_t>(chunks.size())};
  const auto& solver = clip_grad_norm_registry().choose(stream->device().kind, problem);
  const Workspace workspace(*stream, chunks.size() * sizeof(double));
  stream->submit([run = solver.run, problem, chunks = std::move(chunks), norm = norm->target_in_layout(1),
                  scratch = workspace.data()](const ExecutionContext& context) {
    run(problem, {chunks.data(), norm, scratch}, context);
  });
  return norm;
}

}  // namespace groupconv
