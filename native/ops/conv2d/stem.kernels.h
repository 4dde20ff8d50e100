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
  return ceil_div(p.k, W) * W * stem_taps(p) * sizeof(Element);
}

inline void stem_prepare(const Conv2dProblem& p, const float* weight, float* prepared,
                         const ExecutionContext&) {
  const int64_t taps = stem_taps(p), padded = ceil_div(p.k, W) * W;
  for (int64_t k = 0; k < padded; ++k)
    for (int64_t tap = 0; tap < taps; ++tap)
      elements(prepared)[(k / W * taps + tap) * W + k % W] = Element(k < p.k ? weight[k * taps + tap] : 0);
}

// What a tile computes of a channel block: all lanes, or the lower half where the upper one is padding.
// Vectors of 512 bits have halves that cost half as much; narrower ones have not.
typedef float HalfVec __attribute__((vector_size(W * 2), aligned(W * 2), may_alias));
typedef uint32_t HalfBitsVec __attribute__((vector_size(W * 2), aligned(W * 2), may_alias));
typedef uint16_t HalfUpperVec __attribute__((vector_size(W), aligned(W), may_alias));
struct WholeBlock {
  typedef Vec Lanes;
  template <class T>
  static GROUPCONV_INLINE Vec load(const T* p) {
    return groupconv::load(p);
  }
  static GROUPCONV_INLINE Vec widen(Vec v) { return v; }
};
struct HalfBlock {
  typedef HalfVec Lanes;
  static GROUPCONV_INLINE HalfVec load(const float* p) { return *reinterpret_cast<const HalfVec*>(p); }
  static GROUPCONV_INLINE HalfVec load(const BFloat16* p) {
    return reinterpret_cast<HalfVec>(
        __builtin_convertvector(*reinterpret_cast<const HalfUpperVec*>(p), HalfBitsVec) << 16);
  }
  template <int... Is>
  static GROUPCONV_INLINE Vec widen(HalfVec v, Indices<Is...>) {
    return __builtin_shufflevector(v, HalfVec{}, Is...);
  }
  static GROUPCONV_INLINE Vec widen(HalfVec v) { return widen(v, typename MakeIndices<W>::type{}); }
};

// Whether `channels`, counted from a block's first, leave its upper half to padding.
inline bool fit_in_half(int64_t channels) { return W == 16 && channels <= W / 2; }

// How many blocks the tile takes that begins with `block`: two, but a last half one goes alone.
inline int64_t tile_blocks(int64_t block, int64_t channels) {
  const int64_t rest = channels - block * W;
  return rest <= W || fit_in_half(rest - W) ? 1 : 2;
}

// Calls body(Blocks, Block) as constants for the tile that begins with `block`.
template <class Body>
GROUPCONV_INLINE void with_tile_blocks(int64_t block, int64_t channels, const Body& body) {
  if (tile_blocks(block, channels) == 2)
    body(Constant<2>{}, WholeBlock{});
  else if (fit_in_half(channels - block * W))
    body(Constant<1>{}, HalfBlock{});
  else
    body(Constant<1>{}, WholeBlock{});
}

// A short copy, inline: whole pieces, the last one overlapping.
template <int Piece>
GROUPCONV_INLINE void copy_pieces(const Element* in, Element* out, int64_t count) {
  for (int64_t i = 0; i + Piece <= count; i += Piece)
    __builtin_memcpy(out + i, in + i, Piece * sizeof(Element));
  __builtin_memcpy(out + count - Piece, in + count - Piece, Piece * sizeof(Element));
}
GROUPCONV_INLINE void copy_elements(const Element* in, Element* out, int64_t count) {
  if (count >= W)
    copy_pieces<W>(in, out, count);
  else if (W > 8 && count >= 8)
    copy_pieces<8>(in, out, count);
  else if (W > 4 && count >= 4)
    copy_pieces<4>(in, out, count);
  else
    for (int64_t i = 0; i < count; ++i) out[i] = in[i];
}

// gradWeight's end: dweight <- (dweight where accumulating) + the partial sums of all ranges, in order.
// range_size and block_size: floats from range to range, from block to block of [taps, lanes].
inline void add_stem_ranges(const Conv2dProblem& p, const float* partial, int64_t ranges, int64_t range_size,
                            int64_t block_size, float* dweight, const ExecutionContext& context) {
  const int64_t taps = stem_taps(p);
  parallel_for(context, ceil_div(p.k, W) * taps, [=](int64_t i) {
    const int64_t block = i / taps, tap = i % taps;
    Vec sum = zero();
    for (int64_t range = 0; range < ranges; ++range)
      sum += load(partial + range * range_size + block * block_size + tap * W);
    alignas(64) float lanes[W];
    store(lanes, sum);
    for (int64_t lane = 0; lane < min_of(W, p.k - block * W); ++lane) {
      float& out = dweight[(block * W + lane) * taps + tap];
      out = p.accumulate ? out + lanes[lane] : lanes[lane];
    }
  });
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
