#include "ops/activation/activation.h"

#include "core/door.h"

namespace groupconv {
namespace {

const char* name_of(Nonlinearity kind) {
  constexpr const char* names[] = {"", "relu", "relu6", "sigmoid", "silu", "hardsigmoid", "hardswish"};
  return names[static_cast<int>(kind)];
}

// Of a tensor as it lies in memory.
ActivationProblem problem_of(const Tensor& x, Nonlinearity kind) {
  const Shape& shape = x.shape();
  ActivationProblem p{};
  p.dtype = x.dtype();
  p.kind = kind;
  p.size = x.physical_size();
  p.lanes = x.block();
  const bool is_image = shape.rank() == 4;
  const int64_t channels = is_image ? shape[1] : 1;
  p.blocks = (channels + p.lanes - 1) / p.lanes;
  p.pixels = is_image ? shape[2] * shape[3] : p.size;
  p.last_lanes = static_cast<int32_t>(channels - (p.blocks - 1) * p.lanes);
  return p;
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const ActivationProblem& problem) {
  return out << name_of(problem.kind) << (problem.backward ? "_grad " : " ") << problem.size;
}

Registry<ActivationProblem, ActivationBuffers>& activation_registry() {
  static Registry<ActivationProblem, ActivationBuffers> registry("activation");
  return registry;
}

TensorPtr activation(const Tensor& x, Nonlinearity kind) {
  require_computable(name_of(kind), "x", x);
  const TensorPtr y = make_tensor(x.shared_stream(), x.shape(), x.dtype(), x.block());
  const ActivationProblem problem = problem_of(x, kind);
  ActivationBuffers buffers{};
  buffers.x = x.in_layout(x.block());
  buffers.y = y->target_in_layout(x.block());
  enqueue(x.stream(), activation_registry(), problem, buffers);
  return y;
}

void activation_grad(const Tensor& saved, const Tensor& dy, Nonlinearity kind, Tensor& dx, GradMode mode) {
  const char* const op = name_of(kind);
  require_alike(op, saved, dy, dx);
  require_computable(op, "saved", saved);
  require_same_dtype(op, "dy", dy, saved.dtype());
  require_same_dtype(op, "dx", dx, saved.dtype());
  const int block = saved.block();
  ActivationProblem problem = problem_of(saved, kind);
  problem.backward = true;
  problem.accumulate = mode == GradMode::Accumulate;
  ActivationBuffers buffers{};
  buffers.saved = saved.in_layout(block);
  buffers.dy = dy.in_layout(block);
  buffers.dx = dx.target_in_layout(block, mode);
  enqueue(saved.stream(), activation_registry(), problem, buffers);
}

}  // namespace groupconv
