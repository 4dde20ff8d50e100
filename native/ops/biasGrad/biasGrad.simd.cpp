#include "ops/biasGrad/biasGrad.h"
#include "cpu/channel_sums.h"

namespace groupconv {
namespace {

void put(const BiasGradProblem& p, float& target, double value) {
  target = static_cast<float>(p.accumulate ? target + value : value);
}

// Adds `rows` vectors that lie `stride` floats apart, or their products with x's.
template <bool Scaled>
GROUPCONV_KERNEL void add_rows(const float* dy, const float* x, int64_t rows, int64_t stride, double* sums) {
  const auto term = [&](int64_t row) GROUPCONV_INLINE_LAMBDA {
    const Vec gradient = load_unaligned(dy + row * stride);
    return Scaled ? gradient * load_unaligned(x + row * stride) : gradient;
  };
  Vec sum[4] = {};
  int64_t row = 0;
  for (; row + 4 <= rows; row += 4) GROUPCONV_UNROLL for (int i = 0; i < 4; ++i) sum[i] += term(row + i);
  for (; row < rows; ++row) sum[0] += term(row);
  float lanes[W];
  store_unaligned(lanes, (sum[0] + sum[1]) + (sum[2] + sum[3]));
  for (int lane = 0; lane < W; ++lane) sums[lane] += static_cast<double>(lanes[lane]);
}

ChannelPartition partition_of(const BiasGradProblem& p) { return {p.n, p.c, p.pixels}; }

template <bool Scaled>
void channel_blocks(const BiasGradProblem& p, const BiasGradBuffers& b, const ExecutionContext& context) {
  const ChannelPartition partition = partition_of(p);
  struct Nothing {};
  reduce_channels<1>(
      context, partition, b.workspace,
      [&](int64_t block, int64_t part, ChannelSums<1>& sums) {
        partition.for_runs(block, part, [&](int64_t offset, int64_t rows) {
          add_rows<Scaled>(b.dy + offset, Scaled ? b.x + offset : nullptr, rows, W, sums.of[0]);
        });
      },
      [&](int64_t block, const ChannelSums<1>& sums, bool writes) {
        for (int64_t lane = 0; writes && lane < min_of(W, p.c - block * W); ++lane)
          put(p, b.dbias[block * W + lane], sums.of[0][lane]);
        return Nothing{};
      },
      [](int64_t, int64_t, Nothing) {});
}

size_t channel_blocks_workspace(const BiasGradProblem& p) { return channel_sums_bytes<1>(partition_of(p)); }

// dy [N, C] row-major, vectors of channels; the last channels one by one.
void rows(const BiasGradProblem& p, const BiasGradBuffers& b, const ExecutionContext& context) {
  parallel_for(context, ceil_div(p.c, W), [&](int64_t block) {
    const int64_t first = block * W, lanes = min_of(W, p.c - first);
    double sums[W] = {};
    for (int64_t n = 0; n < p.n; n += kRunRows) {
      const int64_t count = min_of(kRunRows, p.n - n);
      const float* dy = b.dy + n * p.c + first;
      if (lanes == W) {
        add_rows<false>(dy, nullptr, count, p.c, sums);
        continue;
      }
      for (int64_t row = 0; row < count; ++row)
        for (int64_t lane = 0; lane < lanes; ++lane) sums[lane] += static_cast<double>(dy[row * p.c + lane]);
    }
    for (int64_t lane = 0; lane < lanes; ++lane) put(p, b.dbias[first + lane], sums[lane]);
  });
}

constexpr BiasGradSolver solvers[] = {
    {"channelBlocks", [](const BiasGradProblem& p) { return p.block == W && !p.scaled; },
     channel_blocks<false>, channel_blocks_workspace},
    {"channelBlocks", [](const BiasGradProblem& p) { return p.block == W && p.scaled; }, channel_blocks<true>,
     channel_blocks_workspace},
    {"rows", [](const BiasGradProblem& p) { return p.block == 1 && p.pixels == 1 && !p.scaled; }, rows},
};

}  // namespace

namespace GROUPCONV_ISA {
extern const BiasGradTable bias_grad_solvers = {solvers, 3};
}

}  // namespace groupconv
