// Stems: dense convolutions of thin, unblocked images, where output channels fill the lanes.
//   x [N, C, H, W] with C <= 4   weight, packed: [K/W, C, R, S, lanes]   y [N, K/W, P, Q, lanes]
#pragma once
#include "ops/conv2d/tiling.kernels.h"

namespace groupconv {
namespace {

constexpr int kMaxThinChannels = 4;

inline bool is_stem(const Conv2dProblem& p) {
  return p.groups == 1 && p.x_block == 1 && p.y_block == W && p.c <= kMaxThinChannels;
}

inline int64_t stem_taps(const Conv2dProblem& p) { return int64_t{p.c} * p.r * p.s; }

inline size_t stem_prepared_bytes(const Conv2dProblem& p) {
  return ceil_div(p.k, W) * W * stem_taps(p) * sizeof(float);
}

inline void stem_prepare(const Conv2dProblem& p, const float* weight, float* prepared,
                         const ExecutionContext&) {
  const int64_t taps = stem_taps(p), padded = ceil_div(p.k, W) * W;
  for (int64_t k = 0; k < padded; ++k)
    for (int64_t tap = 0; tap < taps; ++tap)
      prepared[(k / W * taps + tap) * W + k % W] = k < p.k ? weight[k * taps + tap] : 0;
}

// A short copy, inline: whole vectors, the last one overlapping.
GROUPCONV_INLINE void copy_floats(const float* in, float* out, int64_t count) {
  int64_t i = 0;
  for (; i + W <= count; i += W) store_unaligned(out + i, load_unaligned(in + i));
  if (i > 0)
    store_unaligned(out + count - W, load_unaligned(in + count - W));
  else
    for (; i < count; ++i) out[i] = in[i];
}

// Register tiles are `Width` positions x 1 or 2 channel blocks. A row of positions is cut into tiles of equal
// width up to kTilePixels, so widths below half of that are left to very short rows: those compute a few
// positions in vain.
constexpr int kTileWidths = kTilePixels - kTilePixels / 2 + 1;  // kTilePixels / 2 .. kTilePixels

GROUPCONV_INLINE int tile_width(int64_t positions) {
  return static_cast<int>(max_of(positions, kTilePixels / 2));
}

// Calls body(Constant<Width>) for a Width that is known only at run time.
template <class Body>
GROUPCONV_INLINE void with_tile_width(int width, const Body& body) {
  each<kTileWidths>([&](auto i) GROUPCONV_INLINE_LAMBDA {
    if (width == kTilePixels - i.value) body(Constant<kTilePixels - i.value>{});
  });
}

}  // namespace
}  // namespace groupconv
