#include "ops/softmax/softmax.h"

#include "core/door.h"

namespace groupconv {
namespace {

SoftmaxProblem problem_of(const char* op, const Tensor& tensor, int axis, bool log) {
  const Shape& shape = tensor.shape();
  require_computable(op, "x", tensor);
  const int from_start = axis_from_start(op, shape, axis);
  SoftmaxProblem problem{tensor.dtype(), false, log, false, 1, shape[from_start], 1};
  for (int i = 0; i < shape.rank(); ++i)
    if (i != from_start) (i < from_start ? problem.outer : problem.inner) *= shape[i];
  return problem;
}

const char* op_name(bool log) { return log ? "logSoftmax" : "softmax"; }

}  // namespace

std::ostream& operator<<(std::ostream& out, const SoftmaxProblem& p) {
  return out << (p.log ? "log " : "") << (p.backward ? "gradient [" : "forward [") << p.outer << ", "
             << p.count << ", " << p.inner << ']' << (p.accumulate ? " accumulated" : "");
}

Registry<SoftmaxProblem, SoftmaxBuffers>& softmax_registry() {
  static Registry<SoftmaxProblem, SoftmaxBuffers> registry("softmax");
  return registry;
}

TensorPtr softmax(const Tensor& x, int axis, bool log) {
  const SoftmaxProblem problem = problem_of(op_name(log), x, axis, log);
  const TensorPtr y = make_tensor(x.shared_stream(), x.shape(), x.dtype());
  SoftmaxBuffers buffers{};
  buffers.x = x.in_layout(1);
  buffers.y = y->target_in_layout(1);
  enqueue(x.stream(), softmax_registry(), problem, buffers);
  return y;
}

void softmax_grad(const Tensor& y, const Tensor& dy, int axis, bool log, Tensor& dx, GradMode mode) {
  require_alike(op_name(log), y, dy, dx);
  SoftmaxProblem problem = problem_of(op_name(log), y, axis, log);
  require_same_dtype(op_name(log), "dy", dy, y.dtype());
  require_same_dtype(op_name(log), "dx", dx, y.dtype());
  problem.backward = true;
  problem.accumulate = mode == GradMode::Accumulate;
  SoftmaxBuffers buffers{};
  buffers.y = const_cast<float*>(y.in_layout(1));
  buffers.dy = dy.in_layout(1);
  buffers.dx = dx.target_in_layout(1, mode);
  enqueue(y.stream(), softmax_registry(), problem, buffers);
}

}  // namespace groupconv
