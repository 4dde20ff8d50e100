// What the units of the grouped 3x3 solvers agree on.
#pragma once
#include "cpu/simd.h"
#include "ops/conv2d/conv2d.h"

namespace groupconv {
namespace {

// Vectors hold whole groups.
GROUPCONV_INLINE bool groups_share_vectors(int64_t per_group) { return per_group < W; }

GROUPCONV_INLINE bool is_grouped3x3(const Conv2dProblem& p) {
  const int64_t per_group = p.channels_per_group();
  const bool fits = groups_share_vectors(per_group) ? per_group >= 2 && W % per_group == 0
                                                    : per_group % W == 0 && per_group <= 64;
  return p.r == 3 && p.s == 3 && p.c == p.k && fits && p.x_block == W && p.y_block == W &&
         p.dilation_h == 1 && p.dilation_w == 1 && p.stride_h == p.stride_w && p.stride_h <= 2 &&
         p.pad_top <= 2 && p.pad_right <= 2 && p.pad_bottom <= 2 && p.pad_left <= 2;
}

}  // namespace
}  // namespace groupconv
