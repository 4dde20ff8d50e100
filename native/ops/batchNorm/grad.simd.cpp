// Backward: one pass over memory for the sums, one for dx, a channel block at a time. A residual gradient
// that replaces its target is written by the first pass, and the second reads it instead of dy and the mask.
// Without a residual the mask is made again of x, which both passes read anyway.
#include "cpu/activate.h"
#include "cpu/channel_sums.h"
#include "ops/batchNorm/batchNorm.h"

namespace groupconv {
namespace {

bool needs_sums(const BatchNormProblem& p, const BatchNormBuffers& b) {
  return b.dweight || b.dbias || (p.training && b.dx);
}

// The output whose place in the activation's range decides where g is dy and where zero.
enum class Mask { None, Output, Recomputed };

// (x - mean) * scale + shift of a channel block; pad lanes are all zero.
struct Affine {
  float mean[W] = {}, scale[W] = {}, shift[W] = {};
  Affine(const BatchNormProblem& p, const BatchNormBuffers& b, int64_t block) {
    for (int64_t lane = 0; lane < min_of(W, p.c - block * W); ++lane) {
      const int64_t c = block * W + lane;
      mean[lane] = b.mean[c], scale[lane] = b.scale[c], shift[lane] = b.shift[c];
    }
  }
};

template <Mask mask>
struct Gradient {
  Gradient(const BatchNormProblem& p, const float* dy, const float* y, const Affine& affine)
      : dy(dy),
        y(y),
        scale(load_unaligned(affine.scale)),
        shift(load_unaligned(affine.shift)),
        masked(p.activation) {}
  // g; d = x - mean there.
  GROUPCONV_INLINE Vec at(int64_t i, Vec d) const {
    const Vec gradient = load(dy + i);
    if constexpr (mask == Mask::None) return gradient;
    const Vec output = mask == Mask::Output ? load(y + i) : d * scale + shift;
    return masked(output, gradient);
  }
  const float *dy, *y;
  Vec scale, shift;
  GradientMask masked;
};

// Adds the sums of g, g * d and d over one run, d = x - mean. The last one tells what rounding took from the
// mean.
template <Mask mask>
GROUPCONV_KERNEL void add_sums(const BatchNormProblem& p, const BatchNormBuffers& b, const Affine& affine,
                               float* keep, int64_t offset, int64_t rows, ChannelSums<3>& sums) {
  const Gradient<mask> gradient(p, b.dy, b.y, affine);
  const Vec mean = load_unaligned(affine.mean);
  Vec of_g[2] = {}, of_gd[2] = {}, of_d[2] = {};
  const auto add = [&](int64_t i, int set) GROUPCONV_INLINE_LAMBDA {
    const Vec d = load(b.x + i) - mean, g = gradient.at(i, d);
    of_g[set] += g;
    of_gd[set] += g * d;
    of_d[set] += d;
    if (keep) store(keep + i, g);
  };
  int64_t row = 0;
  for (; row + 2 <= rows; row += 2) {
    add(offset + row * W, 0);
    add(offset + (row + 1) * W, 1);
  }
  if (row < rows) add(offset + row * W, 0);
  const Vec totals[3] = {of_g[0] + of_g[1], of_gd[0] + of_gd[1], of_d[0] + of_d[1]};
  for (int i = 0; i < 3; ++i)
    for (int lane = 0; lane < W; ++lane) sums.of[i][lane] += static_cast<double>(totals[i][lane]);
}

// dx = scale * g + of_d * d + rest; pad lanes are all zero.
struct Coefficients {
  Affine affine;
  float of_d[W] = {}, rest[W] = {};
};

template <Mask mask>
GROUPCONV_KERNEL void apply(const BatchNormProblem& p, const BatchNormBuffers& b, const float* dy,
                            float* dresidual, const Coefficients& coefficients, int64_t offset,
                            int64_t rows) {
  const Gradient<mask> gradient(p, dy, b.y, coefficients.affine);
  const Vec mean = load_unaligned(coefficients.affine.mean), of_d = load_unaligned(coefficients.of_d),
            rest = load_unaligned(coefficients.rest);
  const bool needs_x = p.training || mask == Mask::Recomputed;
  for (int64_t i = offset; i < offset + rows * W; i += W) {
    const Vec d = needs_x ? load(b.x + i) - mean : zero(), g = gradient.at(i, d);
    if (b.dx) {
      Vec v = gradient.scale * g;
      if (p.training) v += of_d * d + rest;
      store(b.dx + i, p.accumulate_x ? load(b.dx + i) + v : v);
    }
    if (dresidual) store(dresidual + i, p.accumulate_residual ? load(dresidual + i) + g : g);
  }
}

void put(float& target, double value, bool accumulate) {
  target = static_cast<float>(accumulate ? target + value : value);
}

template <Mask mask>
void grad(const BatchNormProblem& p, const BatchNormBuffers& b, const ExecutionContext& context) {
  const ChannelPartition partition(p.n, p.c, p.pixels);
  const bool sums_wanted = needs_sums(p, b);
  float* keep = sums_wanted && !p.accumulate_residual ? b.dresidual : nullptr;
  float* dresidual = keep ? nullptr : b.dresidual;
  reduce_channels<3>(
      context, partition, b.workspace,
      [&](int64_t block, int64_t part, ChannelSums<3>& sums) {
        if (!sums_wanted) return;
        const Affine affine(p, b, block);
        partition.for_runs(block, part, [&](int64_t offset, int64_t rows) {
          add_sums<mask>(p, b, affine, keep, offset, rows, sums);
        });
      },
      [&](int64_t block, const ChannelSums<3>& sums, bool writes) {
        const double count = p.count();
        Coefficients result{Affine(p, b, block)};
        for (int64_t lane = 0; lane < min_of(W, p.c - block * W); ++lane) {
          const int64_t c = block * W + lane;
          const double inv_std = b.inv_std[c], scale = b.scale[c];
          const double low = p.training ? sums.of[2][lane] / count : 0;  // true mean = mean + low
          const double sum_g = sums.of[0][lane], sum_gd = sums.of[1][lane] - low * sum_g;
          const double slope = sum_gd / count * inv_std * inv_std;
          result.of_d[lane] = static_cast<float>(-scale * slope);
          result.rest[lane] = static_cast<float>(scale * (slope * low - sum_g / count));
          if (writes && b.dweight) put(b.dweight[c], inv_std * sum_gd, p.accumulate_weight);
          if (writes && b.dbias) put(b.dbias[c], sum_g, p.accumulate_bias);
        }
        return result;
      },
      [&](int64_t block, int64_t part, const Coefficients& coefficients) {
        if (!b.dx && !dresidual) return;
        partition.for_runs(block, part, [&](int64_t offset, int64_t rows) {
          if (keep)
            apply<Mask::None>(p, b, keep, nullptr, coefficients, offset, rows);
          else
            apply<mask>(p, b, b.dy, dresidual, coefficients, offset, rows);
        });
      });
}

void grad(const BatchNormProblem& p, const BatchNormBuffers& b, const ExecutionContext& context) {
  if (p.activation == Activation::None) return grad<Mask::None>(p, b, context);
  if (b.y) return grad<Mask::Output>(p, b, context);
  grad<Mask::Recomputed>(p, b, context);
}

size_t workspace_bytes(const BatchNormProblem& p) { return channel_sums_bytes<3>({p.n, p.c, p.pixels}); }

constexpr BatchNormSolver solvers[] = {
    {"channelBlocks", [](const BatchNormProblem& p) { return p.pass == BatchNormPass::Grad && p.block == W; },
     grad, workspace_bytes},
};

}  // namespace

namespace GROUPCONV_ISA {
extern const BatchNormTable batch_norm_grad_solvers = {solvers, 1};
}

}  // namespace groupconv
