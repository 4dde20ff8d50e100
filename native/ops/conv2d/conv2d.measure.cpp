#include "ops/conv2d/conv2d.measure.h"

namespace groupconv {
namespace {

struct Operands {
  Operands(Stream& stream, const Conv2dProblem& p)
      : x(stream, p.dtype, p.pass != Conv2dPass::GradInput, x_size(p)),
        dx(stream, p.dtype, p.pass == Conv2dPass::GradInput, x_size(p)),
        y(stream, p.dtype, p.pass == Conv2dPass::Forward, y_size(p)),
        dy(stream, p.dtype, p.pass != Conv2dPass::Forward, y_size(p)),
        residual(stream, p.dtype, p.has_residual, y_size(p)),
        bias(stream, DType::Float32, p.has_bias, (p.k + 15) / 16 * 16),
        weight(stream, DType::Float32, p.pass != Conv2dPass::GradWeight, weight_size(p)),
        dweight(stream, DType::Float32, p.pass == Conv2dPass::GradWeight, weight_size(p)) {}
  static int64_t x_size(const Conv2dProblem& p) {
    return Tensor::physical_size({p.n, p.c, p.h, p.w}, p.x_block);
  }
  static int64_t y_size(const Conv2dProblem& p) {
    return Tensor::physical_size({p.n, p.k, p.p, p.q}, p.y_block);
  }
  static int64_t weight_size(const Conv2dProblem& p) { return p.k * p.channels_per_group() * p.r * p.s; }

  static std::string plain(DeviceKind device) { return conv2d_registry().list(device).back()->name; }
  Conv2dBuffers buffers() const {
    return {x.data(),  weight.data(), bias.data(),    residual.data(), y.data(),
            dy.data(), dx.data(),     dweight.data(), nullptr};
  }
  const Operand x, dx, y, dy, residual, bias, weight, dweight;
};

std::string fastest_solver(Stream& stream, const Conv2dProblem& problem) {
  return fastest<Operands>(conv2d_registry(), stream, problem);
}

const bool registered = conv2d_registry().tune_with(DeviceKind::Cpu, fastest_solver) &&
                        conv2d_registry().tune_with(DeviceKind::Cuda, fastest_solver);

}  // namespace

std::vector<Measurement> measure_conv2d(Stream& stream, const Conv2dProblem& problem, double budget_seconds,
                                        const std::string& which) {
  return measure<Operands>(conv2d_registry(), stream, problem, budget_seconds, which);
}

}  // namespace groupconv
