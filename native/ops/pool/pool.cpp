#include "ops/pool/pool.h"

#include "core/door.h"

namespace groupconv {
namespace {

const char* op_name(PoolKind kind) {
  return kind == PoolKind::Max ? "maxPool2d" : kind == PoolKind::Avg ? "avgPool2d" : "adaptiveAvgPool2d";
}

void check(const char* op, const char* name, const Tensor& tensor) {
  require(tensor.shape().rank() == 4, ErrorCode::InvalidShape, op, ": ", name, " ", tensor.shape(),
          " must have four dimensions, [N, C, H, W]");
  require_computable(op, name, tensor);
}
void check(const char* op, const char* name, const Tensor& tensor, const Shape& expected) {
  require_shape(op, name, tensor, expected);
  require_computable(op, name, tensor);
}

int64_t output_extent(const char* op, const char* axis, int64_t input, int32_t kernel, int32_t stride,
                      int32_t before, int32_t after) {
  require(kernel >= 1 && stride >= 1, ErrorCode::InvalidArgument, op,
          ": kernelSize and stride are at least 1, found ", kernel, " and ", stride);
  for (int32_t padding : {before, after})
    require(padding >= 0 && padding <= kernel / 2, ErrorCode::InvalidArgument, op,
            ": padding is at least 0 and at most half the kernel ", kernel, ", found ", padding);
  const int64_t padded = input + before + after;
  require(kernel <= padded, ErrorCode::InvalidShape, op, ": kernel ", kernel, " is larger than x's ", axis,
          " ", input, " with its padding, ", padded);
  return (padded - kernel) / stride + 1;
}

// `x` is the input or dx.
PoolProblem problem_of(PoolKind kind, const Tensor& x) {
  PoolProblem problem{};
  problem.kind = kind;
  problem.dtype = x.dtype();
  problem.n = x.shape()[0], problem.c = x.shape()[1], problem.h = x.shape()[2], problem.w = x.shape()[3];
  problem.block = x.activation_block();
  return problem;
}

PoolProblem windows(PoolKind kind, const Tensor& x, const PoolGeometry& g, bool count_include_pad = true) {
  const char* op = op_name(kind);
  check(op, "x", x);
  PoolProblem problem = problem_of(kind, x);
  problem.p = output_extent(op, "height", problem.h, g.kernel[0], g.stride[0], g.padding[0], g.padding[2]);
  problem.q = output_extent(op, "width", problem.w, g.kernel[1], g.stride[1], g.padding[3], g.padding[1]);
  problem.kernel_h = g.kernel[0], problem.kernel_w = g.kernel[1];
  problem.stride_h = g.stride[0], problem.stride_w = g.stride[1];
  problem.pad_top = g.padding[0], problem.pad_left = g.padding[3];
  problem.count_include_pad = count_include_pad;
  return problem;
}

PoolProblem adaptive(const Tensor& x, int64_t out_h, int64_t out_w) {
  check(op_name(PoolKind::AdaptiveAvg), "x", x);
  require(out_h >= 1 && out_w >= 1, ErrorCode::InvalidArgument,
          "adaptiveAvgPool2d: outputSize is at least 1, found [", out_h, ", ", out_w, "]");
  PoolProblem problem = problem_of(PoolKind::AdaptiveAvg, x);
  problem.p = out_h, problem.q = out_w;
  return problem;
}

TensorPtr forward(const Tensor& x, const PoolProblem& problem) {
  const TensorPtr y = make_tensor(x.shared_stream(), {problem.n, problem.c, problem.p, problem.q},
                                  problem.dtype, problem.block);
  PoolBuffers buffers{};
  buffers.x = x.in_layout(problem.block);
  buffers.y = y->target_in_layout(problem.block);
  enqueue(x.stream(), pool_registry(), problem, buffers);
  return y;
}

// x and y are null where the gradient does not need them.
void backward(PoolProblem problem, const Tensor* x, const Tensor* y, const Tensor& dy, Tensor& dx,
              GradMode mode) {
  const char* op = op_name(problem.kind);
  const Shape y_shape{problem.n, problem.c, problem.p, problem.q};
  check(op, "dy", dy, y_shape);
  if (x) check(op, "dx", dx, x->shape());
  if (y) check(op, "y", *y, y_shape);
  require_same_dtype(op, "dy", dy, dx.dtype());
  if (x) require_same_dtype(op, "x", *x, dx.dtype());
  if (y) require_same_dtype(op, "y", *y, dx.dtype());
  problem.backward = true;
  problem.accumulate = mode == GradMode::Accumulate;
  PoolBuffers buffers{};
  if (x) buffers.x = x->in_layout(problem.block);
  if (y) buffers.y = const_cast<float*>(y->in_layout(problem.block));
  buffers.dy = dy.in_layout(problem.block);
  buffers.dx = dx.target_in_layout(problem.block, mode);
  enqueue(dy.stream(), pool_registry(), problem, buffers);
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const PoolProblem& p) {
  out << op_name(p.kind) << (p.backward ? "_grad" : "") << " n" << p.n << " c" << p.c << " x " << p.h << 'x'
      << p.w << " y " << p.p << 'x' << p.q;
  if (p.kind != PoolKind::AdaptiveAvg)
    out << " kernel " << p.kernel_h << 'x' << p.kernel_w << " stride " << p.stride_h << 'x' << p.stride_w
        << " padding " << p.pad_top << ',' << p.pad_left;
  return out << " block" << p.block;
}

Registry<PoolProblem, PoolBuffers>& pool_registry() {
  static Registry<PoolProblem, PoolBuffers> registry("pool");
  return registry;
}

TensorPtr max_pool2d(const Tensor& x, const PoolGeometry& geometry) {
  return forward(x, windows(PoolKind::Max, x, geometry));
}

void max_pool2d_grad(const Tensor& x, const Tensor& y, const Tensor& dy, const PoolGeometry& geometry,
                     Tensor& dx, GradMode mode) {
  backward(windows(PoolKind::Max, x, geometry), &x, &y, dy, dx, mode);
}

TensorPtr avg_pool2d(const Tensor& x, const PoolGeometry& geometry, bool count_include_pad) {
  return forward(x, windows(PoolKind::Avg, x, geometry, count_include_pad));
}

void avg_pool2d_grad(const Tensor& dy, const PoolGeometry& geometry, bool count_include_pad, Tensor& dx,
                     GradMode mode) {
  backward(windows(PoolKind::Avg, dx, geometry, count_include_pad), nullptr, nullptr, dy, dx, mode);
}

TensorPtr adaptive_avg_pool2d(const Tensor& x, int64_t out_h, int64_t out_w) {
  return forward(x, adaptive(x, out_h, out_w));
}

void adaptive_avg_pool2d_grad(const Tensor& dy, Tensor& dx, GradMode mode) {
  check("adaptiveAvgPool2d", "dy", dy);
  backward(adaptive(dx, dy.shape()[2], dy.shape()[3]), nullptr, nullptr, dy, dx, mode);
}

}  // namespace groupconv
