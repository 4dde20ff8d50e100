#include "ops/linear/linear.h"

namespace groupconv {
namespace {

// Shape of y; checks x against weight.
Shape output_shape(const Shape& x, const Shape& weight) {
  require(weight.rank() == 2, ErrorCode::InvalidShape, "linear: weight ", weight, " must be [out, in]");
  require(x.rank() >= 2, ErrorCode::InvalidShape, "linear: x ", x,
          " needs at least two dimensions, [..., in]");
  const int last = x.rank() - 1;
  require(x[last] == weight[1], ErrorCode::InvalidShape, "linear: weight ", weight, " takes ", weight[1],
          " features, x ", x, " has ", x[last]);
  Shape y;
  for (int axis = 0; axis < last; ++axis) y.push_back(x[axis]);
  y.push_back(weight[0]);
  return y;
}

LinearProblem problem_of(LinearPass pass, DType dtype, const Shape& x, const Shape& weight,
                         GradMode mode = GradMode::Overwrite) {
  return {pass, dtype, x.size() / weight[1], weight[1], weight[0], false, mode == GradMode::Accumulate};
}

void check_gradient(const Tensor& dy, const Shape& x, const Shape& weight) {
  const Shape expected = output_shape(x, weight);
  require(dy.shape() == expected, ErrorCode::InvalidShape, "linear: dy ", dy.shape(), ", expected ",
          expected);
  require_computable("linear", "dy", dy);
}

void queue(Stream& stream, LinearProblem problem, const LinearBuffers& buffers) {
  const Liberties liberties = stream.liberties();
  problem.tf32 = liberties.tf32, problem.varying_order = liberties.varying_order;
  enqueue(stream, linear_registry().choose(stream.device().kind, problem), problem, buffers);
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const LinearProblem& p) {
  constexpr const char* passes[] = {"forward", "gradInput", "gradWeight"};
  out << passes[static_cast<int>(p.pass)] << " x[" << p.rows << ',' << p.in << "] w[" << p.out << ',' << p.in
      << ']';
  return out << (p.has_bias ? " +bias" : "") << (p.accumulate ? " accumulated" : "");
}

Registry<LinearProblem, LinearBuffers>& linear_registry() {
  static Registry<LinearProblem, LinearBuffers> registry("linear");
  return registry;
}

TensorPtr linear(const Tensor& x, const Tensor& weight, const Tensor* bias) {
  const Shape y_shape = output_shape(x.shape(), weight.shape());
  require_computable("linear", "x", x);
  require_float32("linear", "weight", weight);
  if (bias) {
    require(bias->shape() == Shape{weight.shape()[0]}, ErrorCode::InvalidShape, "linear: bias ",
            bias->shape(), ", weight ", weight.shape(), " needs [", weight.shape()[0], "]");
    require_float32("linear", "bias", *bias);
  }
  LinearProblem problem = problem_of(LinearPass::Forward, x.dtype(), x.shape(), weight.shape());
  problem.has_bias = bias != nullptr;
  const TensorPtr y = make_tensor(x.shared_stream(), y_shape, x.dtype());
  LinearBuffers buffers{};
  buffers.x = x.in_layout(1);
  buffers.weight = weight.in_layout(1);
  buffers.bias = bias ? bias->in_layout(1) : nullptr;
  buffers.y = y->target_in_layout(1);
  queue(x.stream(), problem, buffers);
  return y;
}

void linear_grad_input(const Tensor& dy, const Tensor& weight, Tensor& dx, GradMode mode) {
  check_gradient(dy, dx.shape(), weight.shape());
  require_same_dtype("linear", "dx", dx, dy.dtype());
  require_float32("linear", "weight", weight);
  LinearBuffers buffers{};
  buffers.dy = dy.in_layout(1);
  buffers.weight = weight.in_layout(1);
  buffers.dx = dx.target_in_layout(1, mode);
  queue(dy.stream(), problem_of(LinearPass::GradInput, dy.dtype(), dx.shape(), weight.shape(), mode),
        buffers);
}

void linear_grad_weight(const Tensor& x, const Tensor& dy, Tensor& dweight, GradMode mode) {
  check_gradient(dy, x.shape(), dweight.shape());
  require_same_dtype("linear", "x", x, dy.dtype());
  require_float32("linear", "dweight", dweight);
  LinearBuffers buffers{};
  buffers.x = x.in_layout(1);
  buffers.dy = dy.in_layout(1);
  buffers.dweight = dweight.target_in_layout(1, mode);
  queue(dy.stream(), problem_of(LinearPass::GradWeight, dy.dtype(), x.shape(), dweight.shape(), mode),
        buffers);
}

}  // namespace groupconv
