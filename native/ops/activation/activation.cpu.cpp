// The CPU's solver list for activations, and their plain reference in float64.
#include <cmath>

#include "cpu/offer.h"
#include "cpu/reference.h"
#include "ops/activation/activation.h"

namespace groupconv {

GROUPCONV_PER_ISA(ActivationTable, activation_solvers)

namespace {

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

double value(Nonlinearity kind, double x) {
  switch (kind) {
    case Nonlinearity::Relu:
      return activate(Activation::Relu, x);
    case Nonlinearity::Relu6:
      return activate(Activation::Relu6, x);
    case Nonlinearity::Sigmoid:
      return sigmoid(x);
    case Nonlinearity::Silu:
      return x * sigmoid(x);
    case Nonlinearity::Hardsigmoid:
      return activate(Activation::Relu6, x + 3) / 6;
    case Nonlinearity::Hardswish:
      return x * activate(Activation::Relu6, x + 3) / 6;
  }
  return x;
}

double gradient(Nonlinearity kind, float saved, double dy) {
  const double s = saved, curve = sigmoid(s);
  switch (kind) {
    case Nonlinearity::Relu:
      return stops_gradient(Activation::Relu, saved) ? 0 : dy;
    case Nonlinearity::Relu6:
      return stops_gradient(Activation::Relu6, saved) ? 0 : dy;
    case Nonlinearity::Sigmoid:
      return dy * s * (1 - s);
    case Nonlinearity::Silu:
      return dy * curve * (1 + s * (1 - curve));
    case Nonlinearity::Hardsigmoid:
      return s > 0 && s < 1 ? dy / 6 : 0;
    case Nonlinearity::Hardswish:
      return s < -3 ? 0 : s >= 3 ? dy : dy * (s / 3 + 0.5);
  }
  return dy;
}

void reference(const ActivationProblem& p, const ActivationBuffers& b, const ExecutionContext&) {
  for (int64_t i = 0; i < p.size; ++i) {
    if (p.backward) {
      const double dx = gradient(p.kind, b.saved[i], b.dy[i]);
      b.dx[i] = static_cast<float>(p.accumulate ? b.dx[i] + dx : dx);
    } else {
      const int64_t block = i / (p.pixels * p.lanes) % p.blocks;
      const bool is_pad = block == p.blocks - 1 && i % p.lanes >= p.last_lanes;
      b.y[i] = is_pad ? 0 : static_cast<float>(value(p.kind, b.x[i]));
    }
  }
}

constexpr ActivationSolver references[] = {
    {"reference", [](const ActivationProblem&) { return true; }, reference}};

const bool offered = offer<activation_registry, references, activation_solvers_for>();

}  // namespace
}  // namespace groupconv
