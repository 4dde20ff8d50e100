// Register tiles of an indirect convolution: up to kTilePixels target pixels, anywhere in the image; for
// every tap a list says which source pixel each of them reads. Padding reads a vector of zeros.
#pragma once
#include "ops/conv2d/tiling.kernels.h"

namespace groupconv {
namespace {

alignas(64) constexpr Element kZeros[W] = {};

struct Tap {
  int32_t slot;                // r * S + s
  int32_t pixel[kTilePixels];  // in the source plane, or -1
};

struct TilePixels {
  int32_t count, taps;
  int32_t target[kTilePixels];  // in the target plane
  const Tap* first_tap;
};

struct DirectTile {
  const TilePixels* pixels;
  const Element* x;  // first source block; blocks are x_plane elements apart
  int64_t x_plane, input_blocks;
  int64_t last_lanes;     // channels in the last of the input blocks
  const Element* weight;  // [input blocks, slots, W, output blocks, W]
  int64_t slots;
  Element* y;
  int64_t y_plane;
  const float* bias;        // null: start from y where `resume`, else from zero
  const Element* residual;  // null: none
  bool resume;
  Activation activation;
};

template <int Pixels, int Blocks>
GROUPCONV_INLINE void start_tile(const DirectTile& tile, Vec (&sums)[Blocks][Pixels], int count) {
  GROUPCONV_UNROLL
  for (int block = 0; block < Blocks; ++block) GROUPCONV_UNROLL
  for (int pixel = 0; pixel < Pixels; ++pixel)
    sums[block][pixel] = tile.bias ? load(tile.bias + block * W)
                         : tile.resume && pixel < count
                             ? load(tile.y + block * tile.y_plane + int64_t{tile.pixels->target[pixel]} * W)
                             : zero();
}

template <int Pixels, int Blocks>
GROUPCONV_INLINE void finish_tile(const DirectTile& tile, Vec (&sums)[Blocks][Pixels], int count) {
  GROUPCONV_UNROLL
  for (int pixel = 0; pixel < Pixels; ++pixel) {
    if (pixel >= count) break;
    GROUPCONV_UNROLL
    for (int block = 0; block < Blocks; ++block) {
      const int64_t offset = block * tile.y_plane + int64_t{tile.pixels->target[pixel]} * W;
      Vec sum = sums[block][pixel];
      if (tile.residual) sum += load(tile.residual + offset);
      store(tile.y + offset, activate(sum, tile.activation));
    }
  }
}

template <int Pixels>
GROUPCONV_INLINE void locate(const Tap& tap, const Element* x, const Element* (&at)[Pixels]) {
  GROUPCONV_UNROLL
  for (int pixel = 0; pixel < Pixels; ++pixel)
    at[pixel] = tap.pixel[pixel] < 0 ? kZeros : x + int64_t{tap.pixel[pixel]} * W;
}

// Source lanes are broadcast: every output lane sees all input channels of its group.
template <int Pixels, int Blocks>
GROUPCONV_KERNEL void direct_tile(const DirectTile& tile) {
  Vec sums[Blocks][Pixels];
  start_tile(tile, sums, Pixels);
  const Element *x = tile.x, *weight = tile.weight;
  for (int64_t c = tile.input_blocks; c > 0; --c) {
    const int64_t lanes = c == 1 ? tile.last_lanes : W;
    const Tap* tap = tile.pixels->first_tap;
    for (int32_t t = tile.pixels->taps; t > 0; --t, ++tap) {
      const Element* at[Pixels];
      locate(*tap, x, at);
      const Element* panel = weight + int64_t{tap->slot} * (W * Blocks * W);
      for (int64_t lane = 0; lane < lanes; ++lane) {
        Vec weights[Blocks];
        GROUPCONV_UNROLL
        for (int block = 0; block < Blocks; ++block) weights[block] = load(panel + block * W);
        GROUPCONV_UNROLL
        for (int pixel = 0; pixel < Pixels; ++pixel) {
          const Vec input = broadcast(at[pixel][lane]);
          GROUPCONV_UNROLL
          for (int block = 0; block < Blocks; ++block)
            multiply_add(sums[block][pixel], input, weights[block]);
        }
        panel += Blocks * W;
      }
    }
    x += tile.x_plane;
    weight += tile.slots * (W * Blocks * W);
  }
  finish_tile(tile, sums, Pixels);
}

// Vectors hold whole groups of Size lanes: lane l sees lanes l ^ i of its vector. weight [slots, Size, W].
template <int Pixels, int Size>
GROUPCONV_KERNEL void direct_lanes_tile(const DirectTile& tile) {
  Vec sums[1][Pixels];
  const int count = tile.pixels->count;
  start_tile(tile, sums, count);
  const Tap* tap = tile.pixels->first_tap;
  for (int32_t t = tile.pixels->taps; t > 0; --t, ++tap) {
    const Element* at[Pixels];
    locate(*tap, tile.x, at);
    const Element* panel = tile.weight + int64_t{tap->slot} * (Size * W);
    Vec weights[Size];
    GROUPCONV_UNROLL
    for (int i = 0; i < Size; ++i) weights[i] = load(panel + i * W);
    GROUPCONV_UNROLL
    for (int pixel = 0; pixel < Pixels; ++pixel) {
      Vec input = load(at[pixel]);
      GROUPCONV_PIN(input);
      each<Size>([&](auto i) GROUPCONV_INLINE_LAMBDA {
        multiply_add(sums[0][pixel], xor_lanes<i.value>(input), weights[i.value]);
      });
    }
  }
  finish_tile(tile, sums, count);
}

template <int Blocks, int... Is>
GROUPCONV_INLINE void direct_tile(const DirectTile& tile, Indices<Is...>) {
  static constexpr void (*by_pixels[])(const DirectTile&) = {direct_tile<Is + 1, Blocks>...};
  by_pixels[tile.pixels->count - 1](tile);
}
template <int Blocks>
GROUPCONV_INLINE void direct_tile(const DirectTile& tile) {
  direct_tile<Blocks>(tile, typename MakeIndices<kTilePixels>::type{});
}

// Tiles of pixels that do not exist read zeros and are not stored.
template <int Size>
GROUPCONV_INLINE void direct_lanes_tile_of(const DirectTile& tile) {
  if constexpr (Size < W) {
    if (tile.pixels->count <= kTilePixels / 2)
      direct_lanes_tile<kTilePixels / 2, Size>(tile);
    else
      direct_lanes_tile<kTilePixels, Size>(tile);
  }
}
GROUPCONV_INLINE void direct_lanes_tile(int64_t size, const DirectTile& tile) {
  switch (size) {
    case 1:
      return direct_lanes_tile_of<1>(tile);
    case 2:
      return direct_lanes_tile_of<2>(tile);
    case 4:
      return direct_lanes_tile_of<4>(tile);
    case 8:
      return direct_lanes_tile_of<8>(tile);
  }
}

}  // namespace
}  // namespace groupconv
