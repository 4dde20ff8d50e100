#include "ops/biasGrad/biasGrad.h"

#include "core/door.h"

namespace groupconv {

std::ostream& operator<<(std::ostream& out, const BiasGradProblem& p) {
  return out << "biasGrad n" << p.n << " c" << p.c << " pixels" << p.pixels << " block" << p.block;
}

Registry<BiasGradProblem, BiasGradBuffers>& bias_grad_registry() {
  static Registry<BiasGradProblem, BiasGradBuffers> registry("biasGrad");
  return registry;
}

void bias_grad(const Tensor& dy, Tensor& dbias, GradMode mode) {
  const Shape& shape = dy.shape();
  const int64_t pixels = require_channels("biasGrad", "dy", shape);
  require_shape("biasGrad", "dbias", dbias, {shape[1]}, "dy", shape);
  require_computable("biasGrad", "dy", dy);
  require_float32("biasGrad", "dbias", dbias);
  const int layout = dy.activation_block();
  BiasGradProblem problem{};
  problem.dtype = dy.dtype();
  problem.n = shape[0], problem.c = shape[1];
  problem.pixels = pixels;
  problem.block = layout;
  problem.accumulate = mode == GradMode::Accumulate;
  BiasGradBuffers buffers{};
  buffers.dy = dy.in_layout(layout);
  buffers.dbias = dbias.target_in_layout(1, mode);
  enqueue(dy.stream(), bias_grad_registry(), problem, buffers);
}

}  // namespace groupconv
