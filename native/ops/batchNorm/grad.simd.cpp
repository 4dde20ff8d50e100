// Backward: one pass over memory for the sums, one for dx, a channel block at a time. A residual gradient
// that replaces its target is written by the first pass, and the second reads it instead of dy and the mask.
#include "cpu/channel_sums.h"
#include "ops/batchNorm/batchNorm.h"

namespace groupconv {
namespace {

ChannelPartition partition_of(const BatchNormProblem& p) { return {p.n, p.c, p.pixels}; }

bool needs_sums(const BatchNormProblem& p, const BatchNormBuffers& b) {
  return b.dweight || b.dbias || (p.training && b.dx);
}

// g: dy where the activation passes it. The comparison with NaN never holds, so that Relu has no upper end.
struct Masked {
  Masked(const BatchNormProblem& p, const float* dy, const float* y)
      : dy(dy), y(y), top(broadcast(p.activation == Activation::Relu6 ? 6.0f : __builtin_nanf(""))) {}
  GROUPCONV_INLINE Vec at(int64_t i) const {
    const Vec gradient = load(dy + i);
    if (!y) return gradient;
    const Vec output = load(y + i);
    return ((output <= zero()) | (output >= top)) ? zero() : gradient;
  }
  const float *dy, *y;  // y null: everything passes
  Vec top;
};

// Adds the sums of g, g * d and d over one run, d = x - mean. The last one tells what rounding took from the
// mean.
GROUPCONV_KERNEL void add_sums(const BatchNormBuffers& b, const Masked& masked, const float* means,
                               float* keep, int64_t offset, int64_t rows, ChannelSums<3>& sums) {
  const Vec mean = load_unaligned(means);
  Vec of_g[2] = {}, of_gd[2] = {}, of_d[2] = {};
  const auto add = [&](int64_t i, int set) GROUPCONV_INLINE_LAMBDA {
    const Vec g = masked.at(i), d = load(b.x + i) - mean;
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

// dx = of_g * g + of_d * (x - mean) + rest; pad lanes are all zero.
struct Coefficients {
  float mean[W], of_g[W], of_d[W], rest[W];
};

GROUPCONV_KERNEL void apply(const BatchNormProblem& p, const BatchNormBuffers& b, const Masked& masked,
                            const Coefficients& coefficients, float* dresidual, int64_t offset,
                            int64_t rows) {
  const Vec mean = load_unaligned(coefficients.mean), of_g = load_unaligned(coefficients.of_g),
            of_d = load_unaligned(coefficients.of_d), rest = load_unaligned(coefficients.rest);
  for (int64_t i = offset; i < offset + rows * W; i += W) {
    const Vec g = masked.at(i);
    if (b.dx) {
      Vec v = of_g * g;
      if (p.training) v += of_d * (load(b.x + i) - mean) + rest;
      store(b.dx + i, p.accumulate_x ? load(b.dx + i) + v : v);
    }
    if (dresidual) store(dresidual + i, p.accumulate_residual ? load(dresidual + i) + g : g);
  }
}

void put(float& target, double value, bool accumulate) {
  target = static_cast<float>(accumulate ? target + value : value);
}

void grad(const BatchNormProblem& p, const BatchNormBuffers& b, const ExecutionContext& context) {
  const ChannelPartition partition = partition_of(p);
  const bool sums_wanted = needs_sums(p, b);
  float* keep = sums_wanted && !p.accumulate_residual ? b.dresidual : nullptr;
  float* dresidual = keep ? nullptr : b.dresidual;
  const Masked masked(p, b.dy, b.y);
  const Masked kept = keep ? Masked(p, keep, nullptr) : masked;
  reduce_channels<3>(
      context, partition, b.workspace,
      [&](int64_t block, int64_t part, ChannelSums<3>& sums) {
        if (!sums_wanted) return;
        float mean[W] = {};
        for (int64_t lane = 0; lane < min_of(W, p.c - block * W); ++lane)
          mean[lane] = b.mean[block * W + lane];
        partition.for_runs(block, part, [&](int64_t offset, int64_t rows) {
          add_sums(b, masked, mean, keep, offset, rows, sums);
        });
      },
      [&](int64_t block, const ChannelSums<3>& sums, bool writes) {
        const double count = p.count();
        Coefficients result{};
        for (int64_t lane = 0; lane < min_of(W, p.c - block * W); ++lane) {
          const int64_t c = block * W + lane;
          const double inv_std = b.inv_std[c], scale = b.weight ? inv_std * b.weight[c] : inv_std;
          const double low = p.training ? sums.of[2][lane] / count : 0;  // true mean = mean + low
          const double sum_g = sums.of[0][lane], sum_gd = sums.of[1][lane] - low * sum_g;
          const double slope = sum_gd / count * inv_std * inv_std;
          result.mean[lane] = b.mean[c];
          result.of_g[lane] = static_cast<float>(scale);
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
          apply(p, b, kept, coefficients, dresidual, offset, rows);
        });
      });
}

size_t workspace_bytes(const BatchNormProblem& p) { return channel_sums_bytes<3>(partition_of(p)); }

constexpr BatchNormSolver solvers[] = {
    {"channelBlocks", [](const BatchNormProblem& p) { return p.pass == BatchNormPass::Grad && p.block == W; },
     grad, workspace_bytes},
};

}  // namespace

namespace GROUPCONV_ISA {
extern const BatchNormTable batch_norm_grad_solvers = {solvers, 1};
}

}  // namespace groupconv
