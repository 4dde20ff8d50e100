#include "ops/biasGrad/biasGrad.h"

#include "core/broadcast.h"
#include "core/door.h"

namespace groupconv {

std::ostream& operator<<(std::ostream& out, const BiasGradProblem& p) {
  return out << (p.scaled ? "scaleGrad n" : "biasGrad n") << p.n << " c" << p.c << " pixels" << p.pixels
             << " block" << p.block;
}

Registry<BiasGradProblem, BiasGradBuffers>& bias_grad_registry() {
  static Registry<BiasGradProblem, BiasGradBuffers> registry("biasGrad");
  return registry;
}

namespace {

// For the gradient of a parameter, and of values of rank 4 that were broadcast along dy's pixels.
BiasGradProblem problem_of(const char* op, const char* name, const Tensor& dy, const Tensor& grad) {
  const Shape& shape = dy.shape();
  BiasGradProblem p{};
  p.pixels = require_channels(op, "dy", shape);
  const bool is_parameter = grad.shape().rank() == 1;
  if (is_parameter)
    require_shape(op, name, grad, {shape[1]}, "dy", shape);
  else
    require(are_channel_values(grad.shape(), shape), ErrorCode::InvalidShape, op, ": ", name, " ",
            grad.shape(), " for dy ", shape, ", expected [N, C, 1, 1] or [1, C, 1, 1]");
  require_computable(op, "dy", dy);
  if (is_parameter)
    require_float32(op, name, grad);
  else
    require_same_dtype(op, name, grad, dy.dtype());
  p.dtype = dy.dtype(), p.grad_dtype = grad.dtype();
  p.n = shape[0], p.c = shape[1];
  p.block = dy.activation_block();
  return p;
}

bool is_of_each_image(const Tensor& grad) { return grad.shape().rank() == 4 && grad.shape()[0] > 1; }

void run(BiasGradProblem p, const Tensor& dy, const Tensor* x, Tensor& grad, GradMode mode) {
  BiasGradBuffers buffers{};
  buffers.dy = dy.in_layout(p.block);
  if (x) buffers.x = x->in_layout(p.block);
  buffers.dbias = grad.target_in_layout(is_of_each_image(grad) ? p.block : 1, mode);
  if (is_of_each_image(grad)) p.c = Tensor::physical_size(grad.shape(), p.block), p.n = 1;
  p.scaled = x != nullptr;
  p.accumulate = mode == GradMode::Accumulate;
  enqueue(dy.stream(), bias_grad_registry(), p, buffers);
}

}  // namespace

void bias_grad(const Tensor& dy, Tensor& dbias, GradMode mode) {
  run(problem_of("biasGrad", "dbias", dy, dbias), dy, nullptr, dbias, mode);
}

void scale_grad(const Tensor& dy, const Tensor& x, Tensor& dscale, GradMode mode) {
  require_shape("scaleGrad", "x", x, dy.shape());
  require_same_dtype("scaleGrad", "x", x, dy.dtype());
  run(problem_of("scaleGrad", "dscale", dy, dscale), dy, &x, dscale, mode);
}

}  // namespace groupconv
