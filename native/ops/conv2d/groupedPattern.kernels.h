// How the lanes of one channel block meet the channels of their groups, where groups and vectors don't fit
// each other (3 channels per group in vectors of 16): in each step, every lane takes one channel of its group
// out of two blocks of the other tensor, with one shuffle of two vectors. Both sides have equal groups.
//
// A block of 16 lanes in groups of 3 takes 3 steps, no lane wasted. Few sizes leave lanes idle for a step,
// because groups at the two ends and in the middle of a block need three blocks at once: groups of 6 take
// 6, 8 and 6 steps.
#pragma once
#include "cpu/simd.h"

namespace groupconv {
namespace {

#if defined(__GNUC__) && !defined(__clang__)
// SSE2 and NEON have no shuffle of float lanes that is worth it.
constexpr bool kShufflesTwoVectors = W >= 8;

// Lane l of the result: of the 2 W lanes of `near` and `far`, the one that lanes[l] names. Names of far's
// lanes are negative, W + lane modulo 2 W.
GROUPCONV_INLINE Vec shuffle_two(Vec near, Vec far, IntVec lanes) {
  if constexpr (W == 16)
    return __builtin_shuffle(near, far, lanes);
  else
    return lanes < 0 ? __builtin_shuffle(far, lanes) : __builtin_shuffle(near, lanes);
}
#else
constexpr bool kShufflesTwoVectors = false;  // clang shuffles by constants only
GROUPCONV_INLINE Vec shuffle_two(Vec near, Vec, IntVec) { return near; }
#endif

constexpr int64_t kMostPatternGroup = 64;

struct PatternStep {
  IntVec lanes;       // for shuffle_two
  int32_t near, far;  // the two blocks, counted from the lanes' own
  int32_t count;      // steps from this one on
  int8_t channel[W];  // within the group, that each lane takes; -1: none, its weight is zero
};

// No pattern of groups up to kMostPatternGroup takes more (the test of every size says so).
GROUPCONV_INLINE int64_t most_steps(int64_t per_group) { return per_group + min_of(per_group, W); }

// What one lane still has to take: bit i for channel i of its group, whose first channel is `first`, counted
// from the block's own.
struct PatternLane {
  uint64_t left;
  int64_t first;

  uint64_t left_in(int64_t block) const {
    const int64_t begin = max_of(0, block * W - first), end = min_of(64, (block + 1) * W - first);
    if (begin >= end) return 0;
    return left & (~uint64_t{0} << begin) & (~uint64_t{0} >> (64 - end));
  }
};

// How much a step on two blocks achieves: lanes that take a channel, then those that take one outside their
// own block, which fewer pairs offer.
GROUPCONV_INLINE int gain(const PatternLane (&lanes)[W], int64_t near, int64_t far) {
  int gain = 0;
  for (const PatternLane& lane : lanes) {
    const bool outside = (near && lane.left_in(near)) || (far && lane.left_in(far));
    gain += outside ? 2 * W + 1 : (!near || !far) && lane.left_in(0) ? 2 * W : 0;
  }
  return gain;
}

// Greedy: every step takes the two blocks of most gain. A pair without the lanes' own block is for steps that
// leave no lane idle: an idle lane looks at itself, so that no group meets another one's values, even times
// 0.
inline void make_pattern(int64_t block, int64_t channels, int64_t per_group, PatternStep* steps) {
  constexpr int kMostGain = W * (2 * W + 1);
  PatternLane lanes[W];
  int64_t first_block = 0, last_block = 0;
  int open = 0;
  for (int lane = 0; lane < W; ++lane) {
    const int64_t channel = block * W + lane, group = channel / per_group * per_group;
    const bool is_padding = channel >= channels;
    lanes[lane] = {is_padding ? 0 : ~uint64_t{0} >> (64 - per_group), group - block * W};
    if (is_padding) continue;
    ++open;
    first_block = min_of(first_block, group / W - block);
    last_block = max_of(last_block, (group + per_group - 1) / W - block);
  }
  int64_t near = 0, far = 0;
  int before = 0, count = 0;
  while (open > 0) {
    int most = gain(lanes, near, far);
    if (most < before || before == 0)
      for (int64_t a = first_block; a <= last_block; ++a)
        for (int64_t b = a; b <= last_block; ++b) {
          const int possible = gain(lanes, a, b);
          const bool leaves_idle = a != 0 && b != 0 && possible < kMostGain;
          if (possible > most && !leaves_idle) most = possible, near = a, far = b;
        }
    before = most;
    PatternStep& step = steps[count++];
    step.near = static_cast<int32_t>(near), step.far = static_cast<int32_t>(far);
    for (int lane = 0; lane < W; ++lane) {
      PatternLane& to = lanes[lane];
      step.channel[lane] = -1;
      step.lanes[lane] = near == 0 ? lane : lane - W;
      const bool from_far = near == 0 ? to.left_in(far) != 0 : !to.left_in(near);
      const int64_t from = from_far ? far : near;
      const uint64_t left = to.left_in(from);
      if (!left) continue;
      const int channel = __builtin_ctzll(left);
      to.left &= ~(uint64_t{1} << channel);
      open -= to.left == 0;
      const int64_t source = to.first + channel - from * W;
      step.lanes[lane] = static_cast<int32_t>(from_far ? source - W : source);
      step.channel[lane] = static_cast<int8_t>(channel);
    }
  }
  for (int i = 0; i < count; ++i) steps[i].count = count - i;
}

// The patterns of a tensor's blocks. They repeat, but for the last block, which may have lanes without a
// channel. In memory: [patterns, most_steps].
struct Patterns {
  int64_t channels, per_group, blocks, period;
  Patterns(int64_t channels, int64_t per_group)
      : channels(channels), per_group(per_group), blocks(ceil_div(channels, W)), period(1) {
    while (period * W % per_group) ++period;
  }
  int64_t count() const { return min_of(blocks - 1, period) + 1; }
  size_t bytes() const { return static_cast<size_t>(count() * most_steps(per_group)) * sizeof(PatternStep); }
  void make(void* memory) const {
    PatternStep* steps = static_cast<PatternStep*>(memory);
    for (int64_t i = 0; i < count(); ++i)
      make_pattern(i == count() - 1 ? blocks - 1 : i, channels, per_group, steps + i * most_steps(per_group));
  }
  const PatternStep* of(int64_t block, const void* memory) const {
    const int64_t i = block == blocks - 1 ? count() - 1 : block % period;
    return static_cast<const PatternStep*>(memory) + i * most_steps(per_group);
  }
};

}  // namespace
}  // namespace groupconv
