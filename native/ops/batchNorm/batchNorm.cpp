#include "ops/batchNorm/batchNorm.h"

#include <cmath>

#include "core/door.h"

namespace groupconv {
namespace {

void check_parameter(const char* name, const Tensor& tensor, const Shape& expected, const Shape& x) {
  require_shape("batchNorm", name, tensor, expected, "x", x);
  require_float32("batchNorm", name, tensor);
}

void check_like(const char* name, const Tensor& tensor, const Tensor& x) {
  require_shape("batchNorm", name, tensor, x.shape(), "x", x.shape());
  require_same_dtype("batchNorm", name, tensor, x.dtype());
}

// Checks x; what every pass over it shares.
BatchNormProblem problem_of(BatchNormPass pass, const Tensor& x) {
  const Shape& shape = x.shape();
  const int64_t pixels = require_channels("batchNorm", "x", shape);
  require_computable("batchNorm", "x", x);
  BatchNormProblem problem{};
  problem.pass = pass;
  problem.dtype = x.dtype();
  problem.n = shape[0], problem.c = shape[1];
  problem.pixels = pixels;
  // Row-major [N, C] is N C/B 1 B wherever B divides C.
  const int block = x.stream().activation_block(problem.c);
  problem.block = shape.rank() == 4 || problem.c % block == 0 ? block : 1;
  return problem;
}

void check_eps(float eps) {
  require(eps > 0 && std::isfinite(eps), ErrorCode::InvalidArgument, "batchNorm: eps is positive, found ",
          eps);
}

const float* vector_of(const Tensor* tensor) { return tensor ? tensor->in_layout(1) : nullptr; }

constexpr int64_t kStatistics = 4;

// The rows of [4, C].
void set_statistics(BatchNormBuffers& buffers, float* rows, int64_t channels) {
  float** const pointers[] = {&buffers.mean, &buffers.inv_std, &buffers.scale, &buffers.shift};
  for (int64_t row = 0; row < kStatistics; ++row) *pointers[row] = rows + row * channels;
}

// The parts of both forward passes that are alike.
BatchNormBuffers forward_buffers(BatchNormProblem& problem, const Tensor& x, const Tensor* weight,
                                 const Tensor* bias, float eps, const Tensor* residual,
                                 Activation activation) {
  check_eps(eps);
  const Shape per_channel{problem.c};
  if (weight) check_parameter("weight", *weight, per_channel, x.shape());
  if (bias) check_parameter("bias", *bias, per_channel, x.shape());
  if (residual) check_like("residual", *residual, x);
  problem.eps = eps;
  problem.activation = activation;
  const int layout = x.activation_block();
  BatchNormBuffers buffers{};
  buffers.x = x.in_layout(layout);
  buffers.residual = residual ? residual->in_layout(layout) : nullptr;
  buffers.weight = vector_of(weight);
  buffers.bias = vector_of(bias);
  return buffers;
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const BatchNormProblem& p) {
  constexpr const char* names[] = {"train", "eval", "grad", "statistics"};
  out << "batchNorm " << names[static_cast<int>(p.pass)] << " n" << p.n << " c" << p.c << " pixels"
      << p.pixels;
  if (p.pass == BatchNormPass::Grad) out << (p.training ? " of train" : " of eval");
  if (p.activation != Activation::None) out << (p.activation == Activation::Relu ? " relu" : " relu6");
  return out << " block" << p.block;
}

Registry<BatchNormProblem, BatchNormBuffers>& batch_norm_registry() {
  static Registry<BatchNormProblem, BatchNormBuffers> registry("batchNorm");
  return registry;
}

BatchNormForward batch_norm_train(const Tensor& x, const Tensor* weight, const Tensor* bias,
                                  Tensor* running_mean, Tensor* running_var, float momentum, float eps,
                                  const Tensor* residual, Activation activation) {
  BatchNormProblem problem = problem_of(BatchNormPass::Train, x);
  const Shape per_channel{problem.c};
  require(problem.n * problem.pixels > 1, ErrorCode::InvalidShape,
          "batchNorm: training needs more than one value per channel, x ", x.shape(), " has one");
  require(std::isfinite(momentum), ErrorCode::InvalidArgument, "batchNorm: momentum is finite, found ",
          momentum);
  if (running_mean) check_parameter("runningMean", *running_mean, per_channel, x.shape());
  if (running_var) check_parameter("runningVar", *running_var, per_channel, x.shape());
  BatchNormBuffers buffers = forward_buffers(problem, x, weight, bias, eps, residual, activation);
  problem.momentum = momentum;
  const BatchNormForward result{make_activation(x.shared_stream(), x.shape(), x.dtype()),
                                make_tensor(x.shared_stream(), {kStatistics, problem.c}, DType::Float32)};
  const int layout = x.activation_block();
  buffers.y = result.y->target_in_layout(layout);
  set_statistics(buffers, result.statistics->target_in_layout(1), problem.c);
  const std::shared_ptr<Storage> moments = x.take_attached();  // its memory is free once this is queued
  if (moments)
    buffers.moments = PlaneMoments::at(moments->data(), problem.n * ((problem.c + layout - 1) / layout));
  if (running_mean) buffers.running_mean = running_mean->update_in_layout(1);
  if (running_var) buffers.running_var = running_var->update_in_layout(1);
  enqueue(x.stream(), batch_norm_registry(), problem, buffers);
  return result;
}

TensorPtr batch_norm_eval(const Tensor& x, const Tensor* weight, const Tensor* bias,
                          const Tensor& running_mean, const Tensor& running_var, float eps,
                          const Tensor* residual, Activation activation) {
  BatchNormProblem problem = problem_of(BatchNormPass::Eval, x);
  check_parameter("runningMean", running_mean, {problem.c}, x.shape());
  check_parameter("runningVar", running_var, {problem.c}, x.shape());
  BatchNormBuffers buffers = forward_buffers(problem, x, weight, bias, eps, residual, activation);
  buffers.running_mean = const_cast<float*>(running_mean.in_layout(1));
  buffers.running_var = const_cast<float*>(running_var.in_layout(1));
  const TensorPtr y = make_activation(x.shared_stream(), x.shape(), x.dtype());
  buffers.y = y->target_in_layout(x.activation_block());
  enqueue(x.stream(), batch_norm_registry(), problem, buffers);
  return y;
}

TensorPtr batch_norm_statistics(const Tensor* weight, const Tensor* bias, const Tensor& running_mean,
                                const Tensor& running_var, float eps) {
  const Shape& shape = running_mean.shape();
  require(shape.rank() == 1, ErrorCode::InvalidShape, "batchNorm: runningMean ", shape, ", expected [C]");
  require_float32("batchNorm", "runningMean", running_mean);
  check_parameter("runningVar", running_var, shape, shape);
  if (weight) check_parameter("weight", *weight, shape, shape);
  if (bias) check_parameter("bias", *bias, shape, shape);
  check_eps(eps);
  BatchNormProblem problem{};
  problem.pass = BatchNormPass::Statistics;
  problem.c = shape[0];
  problem.eps = eps;
  BatchNormBuffers buffers{};
  buffers.weight = vector_of(weight);
  buffers.bias = vector_of(bias);
  buffers.running_mean = const_cast<float*>(running_mean.in_layout(1));
  buffers.running_var = const_cast<float*>(running_var.in_layout(1));
  const TensorPtr result =
      make_tensor(running_mean.shared_stream(), {kStatistics, problem.c}, DType::Float32);
  set_statistics(buffers, result->target_in_layout(1), problem.c);
  enqueue(running_mean.stream(), batch_norm_registry(), problem, buffers);
  return result;
}

void batch_norm_grad(const Tensor& dy, const Tensor& x, const Tensor* y, const Tensor& statistics,
                     bool training, Activation activation, GradTarget dx, GradTarget dresidual,
                     GradTarget dweight, GradTarget dbias) {
  BatchNormProblem problem = problem_of(BatchNormPass::Grad, x);
  const Shape per_channel{problem.c};
  check_like("dy", dy, x);
  check_parameter("statistics", statistics, {kStatistics, problem.c}, x.shape());
  require(y || activation == Activation::None || !dresidual.tensor, ErrorCode::InvalidArgument,
          "batchNorm: a residual's gradient through an activation needs y");
  if (y) check_like("y", *y, x);
  if (dx.tensor) check_like("dx", *dx.tensor, x);
  if (dresidual.tensor) check_like("dresidual", *dresidual.tensor, x);
  if (dweight.tensor) check_parameter("dweight", *dweight.tensor, per_channel, x.shape());
  if (dbias.tensor) check_parameter("dbias", *dbias.tensor, per_channel, x.shape());

  problem.activation = activation;
  problem.training = training;
  const int layout = x.activation_block();
  BatchNormBuffers buffers{};
  buffers.dy = dy.in_layout(layout);
  buffers.x = x.in_layout(layout);
  if (y && activation != Activation::None) buffers.y = const_cast<float*>(y->in_layout(layout));
  set_statistics(buffers, const_cast<float*>(statistics.in_layout(1)), problem.c);
  const auto target = [](const GradTarget& wanted, int block, bool& accumulate) {
    accumulate = wanted.mode == GradMode::Accumulate;
    return wanted.tensor ? wanted.tensor->target_in_layout(block, wanted.mode) : nullptr;
  };
  buffers.dx = target(dx, layout, problem.accumulate_x);
  buffers.dresidual = target(dresidual, layout, problem.accumulate_residual);
  buffers.dweight = target(dweight, 1, problem.accumulate_weight);
  buffers.dbias = target(dbias, 1, problem.accumulate_bias);
  enqueue(x.stream(), batch_norm_registry(), problem, buffers);
}

}  // namespace groupconv
