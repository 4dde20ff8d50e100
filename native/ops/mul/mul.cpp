#include "ops/mul/mul.h"

#include "core/door.h"

namespace groupconv {
namespace {

void run(const Operands& operands, Tensor& y, GradMode mode) {
  MulBuffers buffers{};
  buffers.a = operands.x->in_layout(operands.block);
  buffers.b = operands.values->in_layout(operands.block);
  buffers.y = y.target_in_layout(operands.block, mode);
  const MulProblem problem{y.dtype(), mode == GradMode::Accumulate, operands.broadcast};
  enqueue(y.stream(), mul_registry(), problem, buffers);
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const MulProblem& problem) {
  return out << (problem.accumulate ? "mul_add " : "mul ") << problem.broadcast;
}

Registry<MulProblem, MulBuffers>& mul_registry() {
  static Registry<MulProblem, MulBuffers> registry("mul");
  return registry;
}

TensorPtr mul(const Tensor& a, const Tensor& b) {
  const Operands operands = operands_of("mul", "a", a, "b", b);
  const Tensor& x = *operands.x;
  const TensorPtr y = make_tensor(x.shared_stream(), x.shape(), x.dtype(), operands.block);
  run(operands, *y, GradMode::Overwrite);
  return y;
}

void mul_grad(const Tensor& dy, const Tensor& other, Tensor& dx, GradMode mode) {
  require_shape("mulGrad", "dx", dx, dy.shape());
  require_same_dtype("mulGrad", "dx", dx, dy.dtype());
  const Operands operands = operands_of("mulGrad", "dy", dy, "other", other);
  require(operands.x == &dy, ErrorCode::InvalidShape, "mulGrad: dy ", dy.shape(), " for other ",
          other.shape());
  run(operands, dx, mode);
}

}  // namespace groupconv
