// Training: a pass over memory for the statistics, unless the convolution before left the moments of its
// planes (core/plane_moments.h), and one that applies them, a channel block at a time. Evaluation: the second
// alone.
#include "cpu/activate.h"
#include "cpu/channel_sums.h"
#include "ops/batchNorm/batchNorm.h"

namespace groupconv {
namespace {

ChannelPartition partition_of(const BatchNormProblem& p) { return {p.n, p.c, p.pixels}; }

// Adds the sums of x - origin and of (x - origin)^2 over one run.
void add_moments(const float* x, int64_t rows, const float* origin, ChannelSums<2>& sums) {
  Moments run;
  moments_of(x, rows, run);
  const double count = static_cast<double>(rows);
  for (int lane = 0; lane < W; ++lane) {
    const double mean = run.mean[lane] - origin[lane];
    sums.of[0][lane] += count * mean;
    sums.of[1][lane] += run.squares[lane] + count * mean * mean;
  }
}

// y = (x - mean) * scale + shift per lane; pad lanes are all zero.
struct Affine {
  float mean[W], scale[W], shift[W];
};

// The mean's part below float32 goes into the shift: nothing is lost where the mean is large beside the
// deviation.
Affine affine(const BatchNormProblem& p, const BatchNormBuffers& b, int64_t block, const double* mean,
              const double* inv_std) {
  Affine result{};
  for (int64_t lane = 0; lane < min_of(W, p.c - block * W); ++lane) {
    const int64_t c = block * W + lane;
    const double scale = b.weight ? inv_std[lane] * b.weight[c] : inv_std[lane];
    result.mean[lane] = static_cast<float>(mean[lane]);
    result.scale[lane] = static_cast<float>(scale);
    result.shift[lane] =
        static_cast<float>((b.bias ? b.bias[c] : 0.0) - (mean[lane] - result.mean[lane]) * scale);
  }
  return result;
}

template <bool HasResidual>
GROUPCONV_KERNEL void apply(const BatchNormProblem& p, const BatchNormBuffers& b, const Affine& affine,
                            int64_t offset, int64_t rows) {
  const Vec mean = load_unaligned(affine.mean), scale = load_unaligned(affine.scale),
            shift = load_unaligned(affine.shift);
  const Clamp clamp(p.activation);
  for (int64_t i = offset; i < offset + rows * W; i += W) {
    Vec v = (load(b.x + i) - mean) * scale + shift;
    if (HasResidual) v += load(b.residual + i);
    store(b.y + i, clamp(v));
  }
}

void apply_part(const BatchNormProblem& p, const BatchNormBuffers& b, const ChannelPartition& partition,
                int64_t block, int64_t part, const Affine& affine) {
  partition.for_runs(block, part, [&](int64_t offset, int64_t rows) {
    if (b.residual)
      apply<true>(p, b, affine, offset, rows);
    else
      apply<false>(p, b, affine, offset, rows);
  });
}

// What a channel block's moments make of it; on one of its calls `writes` the statistics.
Affine finish(const BatchNormProblem& p, const BatchNormBuffers& b, int64_t block, const Moments& moments,
              bool writes) {
  const double count = p.count();
  double inv_std[W];
  for (int lane = 0; lane < W; ++lane)
    inv_std[lane] = 1 / __builtin_sqrt(moments.squares[lane] / count + p.eps);
  const Affine applied = affine(p, b, block, moments.mean, inv_std);
  for (int64_t lane = 0; writes && lane < min_of(W, p.c - block * W); ++lane) {
    const int64_t c = block * W + lane;
    b.mean[c] = applied.mean[lane], b.inv_std[c] = static_cast<float>(inv_std[lane]);
    b.scale[c] = applied.scale[lane], b.shift[c] = applied.shift[lane];
    const auto update = [&](float& running, double batch) {
      running = static_cast<float>((1.0 - p.momentum) * running + p.momentum * batch);
    };
    if (b.running_mean) update(b.running_mean[c], moments.mean[lane]);
    if (b.running_var) update(b.running_var[c], moments.squares[lane] / (count - 1));
  }
  return applied;
}

void train_from_sums(const BatchNormProblem& p, const BatchNormBuffers& b, const ExecutionContext& context) {
  const ChannelPartition partition = partition_of(p);
  const auto origin = [&](int64_t block) {
    return b.x + block * p.pixels * W;
  };  // the channels' first values
  reduce_channels<2>(
      context, partition, b.workspace,
      [&](int64_t block, int64_t part, ChannelSums<2>& sums) {
        partition.for_runs(block, part, [&](int64_t offset, int64_t rows) {
          add_moments(b.x + offset, rows, origin(block), sums);
        });
      },
      [&](int64_t block, const ChannelSums<2>& sums, bool writes) {
        Moments moments;
        for (int lane = 0; lane < W; ++lane) {
          const double about_origin = sums.of[0][lane] / p.count();
          const double squares = sums.of[1][lane] - sums.of[0][lane] * about_origin;
          moments.mean[lane] = origin(block)[lane] + about_origin;
          moments.squares[lane] = squares < 0 ? 0 : squares;
        }
        return finish(p, b, block, moments, writes);
      },
      [&](int64_t block, int64_t part, const Affine& affine) {
        apply_part(p, b, partition, block, part, affine);
      });
}

// x's maker took the moments of its planes: one pass is left.
void train_from_moments(const BatchNormProblem& p, const BatchNormBuffers& b,
                        const ExecutionContext& context) {
  const ChannelPartition partition = partition_of(p);
  parallel_for(context, partition.blocks * partition.parts, [&](int64_t unit) {
    const int64_t block = unit / partition.parts, part = unit % partition.parts;
    MomentSums sums;
    for (int64_t n = 0; n < p.n; ++n) {
      Moments plane;
      __builtin_memcpy(&plane, b.moments.values + (n * partition.blocks + block) * 2 * W, sizeof plane);
      sums.add(plane, static_cast<double>(p.pixels));
    }
    apply_part(p, b, partition, block, part, finish(p, b, block, sums.total(), part == 0));
  });
}

void train(const BatchNormProblem& p, const BatchNormBuffers& b, const ExecutionContext& context) {
  if (b.moments.are_complete(p.n * ceil_div(p.c, W), p.pixels))
    train_from_moments(p, b, context);
  else
    train_from_sums(p, b, context);
}

void eval(const BatchNormProblem& p, const BatchNormBuffers& b, const ExecutionContext& context) {
  const ChannelPartition partition = partition_of(p);
  parallel_for(context, partition.blocks * partition.parts, [&](int64_t unit) {
    const int64_t block = unit / partition.parts;
    double mean[W] = {}, inv_std[W] = {};
    for (int64_t lane = 0; lane < min_of(W, p.c - block * W); ++lane) {
      mean[lane] = b.running_mean[block * W + lane];
      inv_std[lane] = 1 / __builtin_sqrt(static_cast<double>(b.running_var[block * W + lane]) + p.eps);
    }
    apply_part(p, b, partition, block, unit % partition.parts, affine(p, b, block, mean, inv_std));
  });
}

size_t workspace_bytes(const BatchNormProblem& p) { return channel_sums_bytes<2>(partition_of(p)); }

constexpr BatchNormSolver solvers[] = {
    {"channelBlocks",
     [](const BatchNormProblem& p) { return p.pass == BatchNormPass::Train && p.block == W; }, train,
     workspace_bytes},
    {"channelBlocks", [](const BatchNormProblem& p) { return p.pass == BatchNormPass::Eval && p.block == W; },
     eval},
};

}  // namespace

namespace GROUPCONV_ISA {
extern const BatchNormTable batch_norm_forward_solvers = {solvers, 2};
}

}  // namespace groupconv
