// How the lanes of one channel block meet the channels of their groups, where groups and vectors don't fit
// each other (3 channels per group in vectors of 16): in each step, every group takes one of its channels,
// out of two blocks of the other tensor, whose vectors are blended and then shuffled. Both sides have equal
// groups.
//
// A block of 16 lanes in groups of 3 takes 3 steps, no lane wasted. Few sizes leave lanes idle for a step,
// because groups at the two ends and in the middle of a block need three blocks at once: groups of 6 take
// 6, 8 and 6 steps.
#pragma once
#include "cpu/simd.h"

namespace groupconv {
namespace {

#if defined(__GNUC__) && !defined(__clang__)
constexpr bool kShufflesLanes = W >= 8;  // SSE2 has no shuffle by a variable
// The positions of `far` where the number is negative, else those of `near`; then lane l of the result is the
// one at position lanes[l] modulo W. On a Zen 4, 96 % of the multiply-adds of a loop with one of these to
// three of them remain, against 72 % with a shuffle of two vectors (vpermt2ps).
GROUPCONV_INLINE Vec blend_and_shuffle(Vec near, Vec far, IntVec lanes) {
  return __builtin_shuffle(lanes < 0 ? far : near, lanes);
}
#else
constexpr bool kShufflesLanes = false;  // clang shuffles by constants only
GROUPCONV_INLINE Vec blend_and_shuffle(Vec near, Vec, IntVec) { return near; }
#endif

constexpr int64_t kMostPatternGroup = 64;  // bits of a set of channels

struct PatternStep {
  IntVec lanes;       // for blend_and_shuffle
  int32_t near, far;  // the two blocks, counted from the lanes' own
  int32_t count;      // steps from this one on
  int8_t channel[W];  // within the group, that each lane takes; -1: none, its weight is zero
};

// Groups up to kMostPatternGroup never take more: the tests run every size.
GROUPCONV_INLINE int64_t most_steps(int64_t per_group) {
  return per_group + min_of(per_group, W == 8 ? 2 : W);
}

// What one group still has to take: bit i for its channel i. `first`: channel 0, counted from the block's.
struct PatternGroup {
  uint64_t left;
  int64_t first;

  uint64_t left_in(int64_t block) const {
    const int64_t begin = max_of(0, block * W - first), end = min_of(64, (block + 1) * W - first);
    if (begin >= end) return 0;
    return left & (~uint64_t{0} << begin) & (~uint64_t{0} >> (64 - end));
  }
};

// One step in the making: who shows which position, and the channel that each group takes.
struct PatternDraft {
  int64_t near, far;
  uint32_t seen_near = 0, seen_far = 0;  // positions
  int8_t channel[W];                     // by group
  int gain = 0;

  PatternDraft(int64_t near, int64_t far) : near(near), far(far) {}

  // Bit i for channel i: those left in a block, less what hides behind the other block.
  uint64_t offered(const PatternGroup& group, int64_t block) const {
    const uint64_t left = group.left_in(block);
    if (left == 0 || near == far) return left;
    const uint64_t hidden = block == near ? seen_far : seen_near;
    const int64_t shift = block * W - group.first;  // channel - position
    return left & ~(shift < 0 ? hidden >> -shift : hidden << shift);
  }
  // Channels outside the group's own block first: fewer pairs of blocks offer them.
  void take(const PatternGroup& group, int64_t index, int lanes) {
    channel[index] = -1;
    for (int choice = 0; choice < 4 && channel[index] < 0; ++choice) {
      const bool outside = choice < 2;
      const int64_t block = choice % 2 ? far : near;
      const uint64_t left = (block != 0) == outside ? offered(group, block) : 0;
      if (!left) continue;
      const int found = __builtin_ctzll(left);
      (block == near ? seen_near : seen_far) |= uint32_t{1} << (group.first + found - block * W);
      channel[index] = static_cast<int8_t>(found);
      gain += (2 * W + outside) * lanes;
    }
  }
};

// Greedy: every step takes the two blocks of most gain. A pair without the lanes' own block is for steps that
// leave no lane idle, because idle lanes look at their own group.
struct PatternMaker {
  int64_t block, per_group, first_group, groups = 0;
  int lanes;  // that have a channel
  PatternGroup group[W];

  PatternMaker(int64_t block, int64_t channels, int64_t per_group)
      : block(block),
        per_group(per_group),
        first_group(block * W / per_group),
        lanes(static_cast<int>(min_of(W, channels - block * W))) {
    for (; groups <= group_of(lanes - 1); ++groups)
      group[groups] = {~uint64_t{0} >> (64 - per_group), (first_group + groups) * per_group - block * W};
  }
  int64_t group_of(int64_t lane) const { return (block * W + lane) / per_group - first_group; }
  int lanes_of(const PatternGroup& g) const {
    return static_cast<int>(min_of(lanes, g.first + per_group) - max_of(0, g.first));
  }

  PatternDraft draft(int64_t near, int64_t far) const {
    PatternDraft draft(near, far);
    draft.take(group[0], 0, lanes_of(group[0]));  // the ends have least choice
    for (int64_t i = groups - 1; i > 0; --i) draft.take(group[i], i, lanes_of(group[i]));
    return draft;
  }
  // The pair of the step before serves again as long as it serves as well.
  PatternDraft best(const PatternDraft& before) const {
    PatternDraft best = draft(before.near, before.far);
    if (before.gain > 0 && best.gain >= before.gain) return best;
    const int64_t first = group[0].first < 0 ? -ceil_div(-group[0].first, W) : 0;
    const int64_t last = max_of(0, (group[groups - 1].first + per_group - 1) / W);
    best = draft(0, 0);
    for (int64_t a = first; a <= last; ++a)
      for (int64_t b = a + 1; b <= last; ++b) {
        const PatternDraft candidate = draft(a, b);
        const bool leaves_idle = candidate.gain < 2 * W * W;
        if (candidate.gain > best.gain && (a == 0 || b == 0 || !leaves_idle)) best = candidate;
      }
    return best;
  }
  bool is_done() const {
    for (int64_t i = 0; i < groups; ++i)
      if (group[i].left) return false;
    return true;
  }

  // An idle lane looks at its own group where that shows, so that no other one's infinities come in, times 0;
  // a lane without a channel at another such.
  int64_t idle_position(const PatternDraft& draft, uint32_t shows_far, int64_t lane) const {
    const bool is_padding = lane >= lanes;
    const int64_t begin = is_padding ? lanes : group[group_of(lane)].first,
                  end = is_padding ? W : begin + per_group;
    for (int64_t position = 0; position < W; ++position) {
      const int64_t source = (shows_far >> position & 1 ? draft.far : draft.near) * W + position;
      if (source >= begin && source < end) return position;
    }
    return lane;
  }
  void apply(const PatternDraft& draft, PatternStep& step) {
    step.near = static_cast<int32_t>(draft.near), step.far = static_cast<int32_t>(draft.far);
    // Positions that nobody needs show the lanes' own block where it is one of the two.
    const uint32_t shows_far = draft.far == 0 && draft.near != 0 ? ~draft.seen_near : draft.seen_far;
    for (int lane = 0; lane < W; ++lane) {
      const int64_t index = group_of(min_of(lane, lanes - 1));
      const int channel = lane < lanes ? draft.channel[index] : -1;
      const int64_t position =
          channel < 0 ? idle_position(draft, shows_far, lane) : (group[index].first + channel + 64 * W) % W;
      step.channel[lane] = static_cast<int8_t>(channel);
      step.lanes[lane] = static_cast<int32_t>(position) | (shows_far >> lane & 1 ? INT32_MIN : 0);
    }
    for (int64_t i = 0; i < groups; ++i)
      if (draft.channel[i] >= 0) group[i].left &= ~(uint64_t{1} << draft.channel[i]);
  }
};

inline void make_pattern(int64_t block, int64_t channels, int64_t per_group, PatternStep* steps) {
  PatternMaker maker(block, channels, per_group);
  int count = 0;
  for (PatternDraft draft(0, 0); !maker.is_done();) {
    draft = maker.best(draft);
    maker.apply(draft, steps[count++]);
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
