#include "ops/linear/linear.h"

#include <limits>
#include <string_view>
#include <type_traits>

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

LinearProblem problem_of(LinearPass pass, const Stream& stream, DType dtype, const Shape& x,
                         const Shape& weight, GradMode mode = GradMode::Overwrite) {
  const int64_t rows = x.size() / weight[1];
  for (const int64_t extent : {rows, weight[0], weight[1]})
    require(extent <= std::numeric_limits<int32_t>::max(), ErrorCode::InvalidShape, "linear: x ", x,
            " and weight ", weight, " make ", extent, " rows or features, at most ",
            std::numeric_limits<int32_t>::max());
  LinearProblem problem{};
  problem.pass = pass, problem.dtype = dtype;
  problem.rows = static_cast<int32_t>(rows);
  problem.in = static_cast<int32_t>(weight[1]), problem.out = static_cast<int32_t>(weight[0]);
  problem.accumulate = mode == GradMode::Accumulate;
  const Liberties liberties = stream.liberties();
  problem.tf32 = liberties.tf32, problem.varying_order = liberties.varying_order;
  return problem;
}

void check_gradient(const Tensor& dy, const Shape& x, const Shape& weight) {
  const Shape expected = output_shape(x, weight);
  require(dy.shape() == expected, ErrorCode::InvalidShape, "linear: dy ", dy.shape(), ", expected ",
          expected);
  require_computable("linear", "dy", dy);
}

// Without padding: its bytes are the key.
struct PreparedKey {
  const LinearSolver* solver;
  int64_t dtype;
};
static_assert(std::has_unique_object_representations_v<PreparedKey>);

// The weight as the solver wants it, kept with the weight until it changes.
const float* prepare(const LinearSolver& solver, const LinearProblem& problem, const Tensor& weight) {
  const float* const plain = weight.in_layout(1);
  if (!solver.prepare) return plain;
  const PreparedKey key{&solver, static_cast<int64_t>(problem.dtype)};
  return weight.derived({reinterpret_cast<const char*>(&key), sizeof key}, Stamp({&weight}),
                        solver.prepared_bytes(problem), [&](float* target) {
                          weight.stream().submit([prepare = solver.prepare, problem, plain,
                                                  target](const ExecutionContext& context) {
                            prepare(problem, plain, target, context);
                          });
                        });
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
  LinearProblem problem = problem_of(LinearPass::Forward, x.stream(), x.dtype(), x.shape(), weight.shape());
  problem.has_bias = bias != nullptr;
  const LinearSolver& solver = linear_registry().choose(x.stream(), problem);
  const TensorPtr y = make_tensor(x.shared_stream(), y_shape, x.dtype());
  LinearBuffers buffers{};
  buffers.x = x.in_layout(1);
  buffers.weight = prepare(solver, problem, weight);
  buffers.bias = bias ? bias->in_layout(1) : nullptr;
  buffers.y = y->target_in_layout(1);
  enqueue(x.stream(), solver, problem, buffers);
  return y;
}

void linear_grad_input(const Tensor& dy, const Tensor& weight, Tensor& dx, GradMode mode) {
  check_gradient(dy, dx.shape(), weight.shape());
  require_same_dtype("linear", "dx", dx, dy.dtype());
  require_float32("linear", "weight", weight);
  const LinearProblem problem =
      problem_of(LinearPass::GradInput, dy.stream(), dy.dtype(), dx.shape(), weight.shape(), mode);
  const LinearSolver& solver = linear_registry().choose(dy.stream(), problem);
  LinearBuffers buffers{};
  buffers.dy = dy.in_layout(1);
  buffers.weight = prepare(solver, problem, weight);
  buffers.dx = dx.target_in_layout(1, mode);
  enqueue(dy.stream(), solver, problem, buffers);
}

void linear_grad_weight(const Tensor& x, const Tensor& dy, Tensor& dweight, GradMode mode) {
  check_gradient(dy, x.shape(), dweight.shape());
  require_same_dtype("linear", "x", x, dy.dtype());
  require_float32("linear", "dweight", dweight);
  const LinearProblem problem =
      problem_of(LinearPass::GradWeight, dy.stream(), dy.dtype(), x.shape(), dweight.shape(), mode);
  const LinearSolver& solver = linear_registry().choose(dy.stream(), problem);
  LinearBuffers buffers{};
  buffers.x = x.in_layout(1);
  buffers.dy = dy.in_layout(1);
  buffers.dweight = dweight.target_in_layout(1, mode);
  enqueue(dy.stream(), solver, problem, buffers);
}

}  // namespace groupconv
