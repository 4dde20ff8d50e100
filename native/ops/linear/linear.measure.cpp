#include "ops/linear/linear.measure.h"

namespace groupconv {
namespace {

struct Operands {
  Operands(Stream& stream, const LinearProblem& p)
      : x(stream, p.dtype, p.pass != LinearPass::GradInput, p.x_size()),
        dx(stream, p.dtype, p.pass == LinearPass::GradInput, p.x_size()),
        y(stream, p.dtype, p.pass == LinearPass::Forward, p.y_size()),
        dy(stream, p.dtype, p.pass != LinearPass::Forward, p.y_size()),
        bias(stream, DType::Float32, p.has_bias, p.out),
        weight(stream, DType::Float32, p.pass != LinearPass::GradWeight, p.weight_size()),
        dweight(stream, DType::Float32, p.pass == LinearPass::GradWeight, p.weight_size()) {}

  // CUDA's last solver, which takes everything, may well be the fastest.
  static std::string plain(DeviceKind) { return "reference"; }
  LinearBuffers buffers() const {
    return {x.data(), weight.data(), bias.data(), y.data(), dy.data(), dx.data(), dweight.data(), nullptr};
  }
  const Operand x, dx, y, dy, bias, weight, dweight;
};

std::string fastest_solver(Stream& stream, const LinearProblem& problem) {
  return fastest<Operands>(linear_registry(), stream, problem);
}

const bool registered = linear_registry().tune_with(DeviceKind::Cpu, fastest_solver) &&
                        linear_registry().tune_with(DeviceKind::Cuda, fastest_solver);

}  // namespace

std::vector<Measurement> measure_linear(Stream& stream, const LinearProblem& problem, double budget_seconds,
                                        const std::string& which) {
  return measure<Operands>(linear_registry(), stream, problem, budget_seconds, which);
}

}  // namespace groupconv
