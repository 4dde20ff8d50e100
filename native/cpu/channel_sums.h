// Per-channel sums over [N, C/W, P, W], P = H * W pixels: one partition and one order of additions for every
// thread count. Runs of rows are summed in float32 lanes, runs are added in float64. Only `*.simd.cpp` units
// include it.
#pragma once
#include "cpu/context.h"
#include "cpu/moments.h"

namespace groupconv {
namespace {

constexpr int64_t kMostParts = 16;          // of one channel block
constexpr int64_t kLeastSegmentRows = 512;  // cutting images finer than this costs more than it balances

// A channel block is cut into parts: contiguous ranges of image segments.
struct ChannelPartition {
  ChannelPartition(int64_t images, int64_t channels, int64_t pixels)
      : images(images),
        blocks(ceil_div(channels, W)),
        pixels(pixels),
        segments(min_of(ceil_div(kMostParts, images), ceil_div(pixels, kLeastSegmentRows))),
        parts(min_of(kMostParts, images * segments)) {}
  int64_t images, blocks, pixels;
  int64_t segments;  // of every image
  int64_t parts;     // of every channel block

  // Calls body(offset, rows) for the runs of one part, in order: element offset, number of rows of W lanes.
  template <class Body>
  GROUPCONV_INLINE void for_runs(int64_t block, int64_t part, const Body& body) const {
    const Range units = share(images * segments, static_cast<int>(part), static_cast<int>(parts));
    for (int64_t unit = units.begin; unit < units.end; ++unit) {
      const int64_t image = unit / segments;
      const Range rows = share(pixels, static_cast<int>(unit % segments), static_cast<int>(segments));
      for (int64_t row = rows.begin; row < rows.end; row += kRunRows)
        body(((image * blocks + block) * pixels + row) * W, min_of(kRunRows, rows.end - row));
    }
  }
};

template <int Count>
struct ChannelSums {
  double of[Count][W];
};

// Workspace of reduce_channels.
template <int Count>
size_t channel_sums_bytes(const ChannelPartition& partition) {
  return static_cast<size_t>(partition.blocks * partition.parts) * sizeof(ChannelSums<Count>);
}

// Whether whole channel blocks keep all threads busy; then what `reduce` read is still in cache for `apply`.
GROUPCONV_INLINE bool blocks_balance(int64_t blocks, int threads) {
  return blocks % threads == 0 || blocks >= 8 * threads;
}

// Per channel block: reduce(block, part, sums) adds a part to zeroed sums; finish(block, totals, writes)
// makes of the block's sums what apply(block, part, finished) needs, and on one of its calls `writes` results
// to memory.
template <int Count, class Reduce, class Finish, class Apply>
void reduce_channels(const ExecutionContext& context, const ChannelPartition& partition, void* workspace,
                     const Reduce& reduce, const Finish& finish, const Apply& apply) {
  const int64_t parts = partition.parts;
  const auto add = [](ChannelSums<Count>& total, const ChannelSums<Count>& part) {
    for (int i = 0; i < Count; ++i)
      for (int lane = 0; lane < W; ++lane) total.of[i][lane] += part.of[i][lane];
  };
  if (blocks_balance(partition.blocks, static_cast<const CpuContext&>(context).threads)) {
    parallel_for(context, partition.blocks, [&](int64_t block) {
      ChannelSums<Count> total{};
      for (int64_t part = 0; part < parts; ++part) {
        ChannelSums<Count> sums{};
        reduce(block, part, sums);
        add(total, sums);
      }
      const auto finished = finish(block, total, true);
      for (int64_t part = 0; part < parts; ++part) apply(block, part, finished);
    });
    return;
  }
  auto* partial = static_cast<ChannelSums<Count>*>(workspace);  // [blocks, parts]
  parallel_for(context, partition.blocks * parts, [&](int64_t unit) {
    ChannelSums<Count> sums{};
    reduce(unit / parts, unit % parts, sums);
    partial[unit] = sums;
  });
  parallel_for(context, partition.blocks * parts, [&](int64_t unit) {
    const int64_t block = unit / parts;
    ChannelSums<Count> total{};
    for (int64_t part = 0; part < parts; ++part) add(total, partial[block * parts + part]);
    apply(block, unit % parts, finish(block, total, unit % parts == 0));
  });
}

}  // namespace
}  // namespace groupconv
