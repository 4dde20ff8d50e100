// What the units of the grouped solvers agree on: which problems are theirs, and how lanes meet channels.
#pragma once
#include "cpu/element.h"
#include "ops/conv2d/conv2d.h"
#include "ops/conv2d/groupedPattern.kernels.h"

namespace groupconv {
namespace {

// v, loaded once: the compiler would rather fold the load into each of its multiply-adds, which are then
// bound by loads (avx512 on a Zen 4, ResNeXt-50's conv2: 83 instead of 100 % of the FMA peak; conv3: 87
// instead of 103 %).
template <class Factor>
GROUPCONV_INLINE Factor in_register(Factor v) {
#if defined(__x86_64__)
  asm("" : "+v"(v));
#elif defined(__aarch64__)
  asm("" : "+w"(v));
#endif
  return v;
}

// How a vector of sums joins the input channels of its groups.
enum class Join {
  None,
  // A vector holds whole groups of a power of two. Every lane multiplies its own input channel and the sums
  // travel: at mask m, lane l holds the sum of output channel l ^ m. Masks follow the Gray code down to 0, so
  // that one in-lane swap of the sums lies between two steps, not one shuffle per input: per channel of the
  // group and tile 14 swaps beside 126 multiply-adds.
  Swap,
  // Groups and vectors don't fit each other: one blend and one shuffle of input vectors for three
  // multiply-adds. A lane takes one channel, so operands of several have no such join.
  Shuffle,
  // The same in strips whose input rows were shuffled before: no layout of its own.
  Shuffled,
  // Groups fill vectors, or there is one group: an input channel is broadcast to all lanes.
  Broadcast
};

// Channels per group; more are blocked by depth elsewhere.
constexpr int64_t kMostDepth = kMostPatternGroup, kMostDenseDepth = 128;

// One group of any two sizes. With 16 registers the tiles of two output blocks of `direct` are better (avx2,
// dense_3x3_odd: 191 instead of 228 us).
constexpr bool kPartialBlocks = W == 16;

// Beyond two vectors, groups padded to whole ones waste less than shuffles cost.
constexpr int64_t kMostShuffledGroup = W == 16 ? kMostDepth : 2 * W;

constexpr bool kShufflesOperands = kShufflesLanes && kDotDepth == 1;

GROUPCONV_INLINE Join join_of(const Conv2dProblem& p) {
  const int64_t c = p.channels_per_group(), k = p.outputs_per_group();
  if (p.x_block != W || p.y_block != W || max_of(c, k) > (p.groups == 1 ? kMostDenseDepth : kMostDepth))
    return Join::None;
  if (c % W == 0 && k % W == 0 && (kPartialBlocks || c == k)) return Join::Broadcast;
  if (p.groups == 1) return kPartialBlocks ? Join::Broadcast : Join::None;
  if (c != k || c < 2 * kDotDepth) return Join::None;
  if (W % c == 0) return Join::Swap;
  return kShufflesOperands && c <= kMostShuffledGroup ? Join::Shuffle : Join::None;
}

GROUPCONV_INLINE bool is_padded_at_most(const Conv2dProblem& p, int most) {
  return p.pad_top <= most && p.pad_right <= most && p.pad_bottom <= most && p.pad_left <= most;
}

GROUPCONV_INLINE bool is_grouped3x3(const Conv2dProblem& p) {
  return p.r == 3 && p.s == 3 && p.dilation_h == 1 && p.dilation_w == 1 && p.stride_h == p.stride_w &&
         p.stride_h <= 2 && is_padded_at_most(p, 2) && join_of(p) != Join::None;
}

// Kernels that span five rows and columns: 5x5, and 3x3 with dilation 2. With 16 registers, broadcasts to two
// blocks or more are left to `direct` (avx2, groups_of_16_dilated: 125 instead of 157 us).
GROUPCONV_INLINE bool is_grouped5x5(const Conv2dProblem& p) {
  const bool spans = (p.r == 5 && p.dilation_h == 1) || (p.r == 3 && p.dilation_h == 2);
  const Join join = join_of(p);
  return spans && p.r == p.s && p.dilation_h == p.dilation_w && join != Join::None &&
         (W == 16 || join != Join::Broadcast || p.channels_per_group() == W);
}

// Within a strip a shuffle serves three multiply-adds, which cost little more. Done once for all kernel rows
// it serves nine (avx2 on a Zen 3, groups of 3: 53 instead of 37 % of the peak, of 6: 62 instead of 43 %, 5x5
// of 6: 72 instead of 52 %).
constexpr bool kShufflesRowsFirst = W == 8 && kShufflesOperands;
constexpr int64_t kWindow = 16 * 1024;  // elements, on the stack; twice as many: 1 to 3 % faster

// Whether a window holds so many input rows.
bool shuffles_rows_first(const Conv2dProblem& p, int64_t width, int64_t rows) {
  return kShufflesRowsFirst && rows * most_steps(p.channels_per_group()) * width * W <= kWindow;
}

// With 16 registers groups beyond a vector gain by shuffles only where one serves several rows; else `direct`
// is better, which pads them to whole vectors (avx2 on a Zen 3, groups of 12: 63 %, 45 % and 52 % of the
// peak).
bool shuffles_pay(const Conv2dProblem& p, bool rows_first) {
  return W == 16 || join_of(p) != Join::Shuffle || p.channels_per_group() <= W || rows_first;
}

}  // namespace
}  // namespace groupconv
