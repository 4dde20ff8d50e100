#include "ops/biasGrad/biasGrad.h"

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
  require(shape.rank() == 4 || shape.rank() == 2, ErrorCode::InvalidShape, "biasGrad: dy ", shape,
          " has rank ", shape.rank(), ", expected [N, C, H, W] or [N, C]");
  require(dbias.shape() == Shape{shape[1]}, ErrorCode::InvalidShape, "biasGrad: dbias ", dbias.shape(),
          " for dy ", shape, ", expected ", Shape{shape[1]});
  require_computable("biasGrad", "dy", dy);
  require_float32("biasGrad", "dbias", dbias);
  const int layout = dy.activation_block();
  BiasGradProblem problem{};
  problem.dtype = dy.dtype();
  problem.n = shape[0], problem.c = shape[1];
  problem.pixels = shape.rank() == 4 ? shape[2] * shape[3] : 1;
  problem.block = layout;
  problem.accumulate = mode == GradMode::Accumulate;
  BiasGradBuffers buffers{};
  buffers.dy = dy.in_layout(layout);
  buffers.dbias = dbias.target_in_layout(1, mode);
  enqueue(dy.stream(), bias_grad_registry(), problem, buffers);
}

}  // namespace groupconv
