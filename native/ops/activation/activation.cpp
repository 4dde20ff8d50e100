#include "ops/activation/activation.h"

#include "core/door.h"

namespace groupconv {

std::ostream& operator<<(std::ostream& out, const ActivationProblem& problem) {
  return out << (problem.kind == Activation::Relu6 ? "relu6" : "relu") << (problem.backward ? "_grad " : " ")
             << problem.size;
}

Registry<ActivationProblem, ActivationBuffers>& activation_registry() {
  static Registry<ActivationProblem, ActivationBuffers> registry("activation");
  return registry;
}

TensorPtr activation(const Tensor& x, Activation kind) {
  require_computable("relu", "x", x);
  const TensorPtr y = make_tensor(x.shared_stream(), x.shape(), x.dtype(), x.block());
  const ActivationProblem problem{x.dtype(), false, kind, false, x.physical_size()};
  ActivationBuffers buffers{};
  buffers.x = x.in_layout(x.block());
  buffers.y = y->target_in_layout(x.block());
  enqueue(x.stream(), activation_registry(), problem, buffers);
  return y;
}

void activation_grad(const Tensor& y, const Tensor& dy, Activation kind, Tensor& dx, GradMode mode) {
  require_alike("relu", y, dy, dx);
  require_computable("relu", "y", y);
  require_same_dtype("relu", "dy", dy, y.dtype());
  require_same_dtype("relu", "dx", dx, y.dtype());
  const int block = y.block();
  const ActivationProblem problem{y.dtype(), true, kind, mode == GradMode::Accumulate, y.physical_size()};
  ActivationBuffers buffers{};
  buffers.y = const_cast<float*>(y.in_layout(block));
  buffers.dy = dy.in_layout(block);
  buffers.dx = dx.target_in_layout(block, mode);
  enqueue(y.stream(), activation_registry(), problem, buffers);
}

}  // namespace groupconv
