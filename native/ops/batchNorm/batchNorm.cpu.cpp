// The CPU's solver list for batch normalisation, and its plain reference: two passes for the statistics, in
// float64.
#include <cmath>

#include "cpu/context.h"
#include "cpu/offer.h"
#include "cpu/reference.h"
#include "ops/batchNorm/batchNorm.h"

namespace groupconv {

GROUPCONV_PER_ISA(BatchNormTable, batch_norm_forward_solvers)
GROUPCONV_PER_ISA(BatchNormTable, batch_norm_grad_solvers)

namespace {

// Calls body(i) for the offset of every value of a channel, pad channels included.
template <class Body>
void for_values(const BatchNormProblem& p, int64_t c, const Body& body) {
  const int64_t blocks = (p.c + p.block - 1) / p.block;
  for (int64_t n = 0; n < p.n; ++n)
    for (int64_t pixel = 0; pixel < p.pixels; ++pixel)
      body(((n * blocks + c / p.block) * p.pixels + pixel) * p.block + c % p.block);
}

template <class Body>
void for_channels(const BatchNormProblem& p, const ExecutionContext& context, const Body& body) {
  parallel_for(context, (p.c + p.block - 1) / p.block * p.block, body);
}

struct Affine {
  float mean, scale, shift;
  double at(float x) const { return (double{x} - mean) * scale + shift; }
};

Affine affine(const BatchNormBuffers& b, int64_t c, double mean, double inv_std) {
  const double scale = b.weight ? inv_std * b.weight[c] : inv_std;
  const float nearest = static_cast<float>(mean);
  return {nearest, static_cast<float>(scale),
          static_cast<float>((b.bias ? b.bias[c] : 0.0) - (mean - nearest) * scale)};
}

void keep_statistics(const BatchNormBuffers& b, int64_t c, const Affine& affine, double inv_std) {
  b.mean[c] = affine.mean, b.inv_std[c] = static_cast<float>(inv_std);
  b.scale[c] = affine.scale, b.shift[c] = affine.shift;
}

void normalise(const BatchNormProblem& p, const BatchNormBuffers& b, int64_t c, const Affine& affine) {
  for_values(p, c, [&](int64_t i) {
    const double v = affine.at(b.x[i]) + (b.residual ? b.residual[i] : 0);
    b.y[i] = static_cast<float>(activate(p.activation, v));
  });
}

void train(const BatchNormProblem& p, const BatchNormBuffers& b, const ExecutionContext& context) {
  for_channels(p, context, [&](int64_t c) {
    if (c >= p.c) return for_values(p, c, [&](int64_t i) { b.y[i] = 0; });
    double mean = 0, squares = 0;
    for_values(p, c, [&](int64_t i) { mean += b.x[i]; });
    mean /= p.count();
    for_values(p, c, [&](int64_t i) { squares += (b.x[i] - mean) * (b.x[i] - mean); });
    const double inv_std = 1 / std::sqrt(squares / p.count() + p.eps);
    const auto update = [&](float& running, double batch) {
      running = static_cast<float>((1.0 - p.momentum) * running + p.momentum * batch);
    };
    if (b.running_mean) update(b.running_mean[c], mean);
    if (b.running_var) update(b.running_var[c], squares / (p.count() - 1));
    const Affine applied = affine(b, c, mean, inv_std);
    keep_statistics(b, c, applied, inv_std);
    normalise(p, b, c, applied);
  });
}

void eval(const BatchNormProblem& p, const BatchNormBuffers& b, const ExecutionContext& context) {
  for_channels(p, context, [&](int64_t c) {
    if (c >= p.c) return for_values(p, c, [&](int64_t i) { b.y[i] = 0; });
    normalise(p, b, c, affine(b, c, b.running_mean[c], 1 / std::sqrt(double{b.running_var[c]} + p.eps)));
  });
}

void put(float& target, double value, bool accumulate) {
  target = static_cast<float>(accumulate ? target + value : value);
}

void grad(const BatchNormProblem& p, const BatchNormBuffers& b, const ExecutionContext& context) {
  for_channels(p, context, [&](int64_t c) {
    if (c >= p.c)
      return for_values(p, c, [&](int64_t i) {
        if (b.dx) b.dx[i] = 0;
        if (b.dresidual) b.dresidual[i] = 0;
      });
    const Affine applied{b.mean[c], b.scale[c], b.shift[c]};
    const auto g = [&](int64_t i) {
      const float y = b.y ? b.y[i] : static_cast<float>(activate(p.activation, applied.at(b.x[i])));
      return stops_gradient(p.activation, y) ? 0 : double{b.dy[i]};
    };
    double mean = b.mean[c];
    if (p.training) {  // what rounding took from the stored mean matters where it is large beside the
                       // deviation
      double rest = 0;
      for_values(p, c, [&](int64_t i) { rest += b.x[i] - mean; });
      mean += rest / p.count();
    }
    double sum_g = 0, sum_gd = 0;
    for_values(p, c, [&](int64_t i) { sum_g += g(i), sum_gd += g(i) * (b.x[i] - mean); });
    const double inv_std = b.inv_std[c], scale = b.scale[c];
    const double mean_g = p.training ? sum_g / p.count() : 0;
    const double slope = p.training ? sum_gd / p.count() * inv_std * inv_std : 0;
    for_values(p, c, [&](int64_t i) {
      const double passed = g(i);
      if (b.dx) put(b.dx[i], scale * (passed - mean_g - (b.x[i] - mean) * slope), p.accumulate_x);
      if (b.dresidual) put(b.dresidual[i], passed, p.accumulate_residual);
    });
    if (b.dweight) put(b.dweight[c], inv_std * sum_gd, p.accumulate_weight);
    if (b.dbias) put(b.dbias[c], sum_g, p.accumulate_bias);
  });
}

void statistics(const BatchNormProblem& p, const BatchNormBuffers& b, const ExecutionContext&) {
  for (int64_t c = 0; c < p.c; ++c) {
    const double inv_std = 1 / std::sqrt(double{b.running_var[c]} + p.eps);
    keep_statistics(b, c, affine(b, c, b.running_mean[c], inv_std), inv_std);
  }
}

constexpr BatchNormSolver references[] = {
    {"reference", [](const BatchNormProblem& p) { return p.pass == BatchNormPass::Train; }, train},
    {"reference", [](const BatchNormProblem& p) { return p.pass == BatchNormPass::Eval; }, eval},
    {"reference", [](const BatchNormProblem& p) { return p.pass == BatchNormPass::Grad; }, grad},
    {"reference", [](const BatchNormProblem& p) { return p.pass == BatchNormPass::Statistics; }, statistics},
};

const bool offered =
    offer<batch_norm_registry, references, batch_norm_forward_solvers_for, batch_norm_grad_solvers_for>();

}  // namespace
}  // namespace groupconv
