// Which source pixel every tap reads: the geometry of an indirect convolution, for forward (x to y) and
// gradInput (dy to dx) alike.
#pragma once
#include "ops/conv2d/direct.kernels.h"

namespace groupconv {
namespace {

constexpr int kTableTaps = 512, kTableTiles = 64;  // 32 KB of lists on the stack

// One axis of a phase: target index i stands at first + i * step and, for tap t, reads source index
// i * source_step + source_first + t * source_tap; the tap's index in the kernel is tap_first + t * tap_step.
struct Axis {
  int64_t first, step, count;
  int64_t taps, tap_first, tap_step;
  int64_t source_step, source_first, source_tap;
};

GROUPCONV_INLINE Axis forward_axis(int64_t outputs, int64_t kernel, int64_t stride, int64_t dilation,
                                   int64_t before) {
  return {0, 1, outputs, kernel, 0, 1, stride, -before, dilation};
}

// Of dx, the indices i with (i + before) % stride == phase: they meet the taps r with r * dilation % stride
// == phase.
GROUPCONV_INLINE Axis grad_input_axis(int64_t inputs, int64_t kernel, int64_t stride, int64_t dilation,
                                      int64_t before, int64_t phase) {
  const int64_t first = ((phase - before) % stride + stride) % stride;
  const int64_t count = first < inputs ? ceil_div(inputs - first, stride) : 0;
  int64_t tap = 0, again = 1;
  while (tap < kernel && tap * dilation % stride != phase) ++tap;
  while (again * dilation % stride) ++again;
  const int64_t taps = tap < kernel ? ceil_div(kernel - tap, again) : 0;
  return {first,
          stride,
          count,
          taps,
          tap,
          again,
          1,
          (first + before - tap * dilation) / stride,
          -again * dilation / stride};
}

// target[n, k, pixel] = sum over c, taps of weight[k, c, tap] * source[n, c, pixel of tap], packed.
struct Correlation {
  const Element *source, *weight;
  Element* target;
  int64_t source_height, source_width, target_height, target_width;
  int64_t images, slots;
  // A unit: a group (its blocks of input and output channels), or a vector of whole groups.
  int64_t units, input_blocks, output_blocks, last_lanes;
  int64_t lanes_size;  // 0: broadcast
  bool accumulate;
  Epilogue epilogue;
  PlaneMoments moments;  // of the target

  int64_t pairs() const { return ceil_div(output_blocks, 2); }
  int64_t source_plane() const { return source_height * source_width * W; }
  int64_t target_plane() const { return target_height * target_width * W; }
  int64_t lanes() const { return lanes_size ? lanes_size : W; }
};

// Pixel lists of a chunk of tiles of one image, for a portion of the taps.
struct Table {
  Tap taps[kTableTaps];
  TilePixels tiles[kTableTiles];
  Range chunk{0, 0}, portion{0, 0};

  void build(const Correlation& m, const Axis& high, const Axis& wide, int64_t slots_wide,
             int64_t tiles_per_image, Range new_chunk, Range new_portion) {
    if (chunk.begin == new_chunk.begin && chunk.end == new_chunk.end && portion.begin == new_portion.begin &&
        portion.end == new_portion.end)
      return;
    chunk = new_chunk, portion = new_portion;
    Tap* tap = taps;
    for (int64_t i = chunk.begin; i < chunk.end; ++i) {
      TilePixels& tile = tiles[i - chunk.begin];
      tap = list(m, high, wide, slots_wide, part(high.count * wide.count, i, tiles_per_image), tile, tap);
    }
  }

 private:
  // Taps that only meet padding are left out.
  Tap* list(const Correlation& m, const Axis& high, const Axis& wide, int64_t slots_wide, Range pixels,
            TilePixels& tile, Tap* tap) const {
    int32_t rows[kTilePixels], columns[kTilePixels];
    tile.count = static_cast<int32_t>(pixels.end - pixels.begin);
    tile.first_tap = tap;
    int64_t row = pixels.begin / wide.count, column = pixels.begin % wide.count;
    for (int32_t pixel = 0; pixel < kTilePixels; ++pixel) {
      tile.target[pixel] = static_cast<int32_t>((high.first + row * high.step) * m.target_width + wide.first +
                                                column * wide.step);
      rows[pixel] = static_cast<int32_t>(row * high.source_step + high.source_first);
      columns[pixel] = static_cast<int32_t>(column * wide.source_step + wide.source_first);
      if (pixel + 1 < tile.count && ++column == wide.count) ++row, column = 0;
    }
    const uint32_t height = static_cast<uint32_t>(m.source_height),
                   width = static_cast<uint32_t>(m.source_width);
    const int64_t across = max_of(1, wide.taps);  // a phase may meet no tap
    int64_t s = portion.begin % across, r = portion.begin / across;
    for (int64_t t = portion.begin; t < portion.end; s = 0, ++r) {
      const int32_t down = static_cast<int32_t>(r * high.source_tap);
      int32_t line[kTilePixels];  // where the pixel's row begins, or -1
      for (int pixel = 0; pixel < kTilePixels; ++pixel) {
        const uint32_t row = static_cast<uint32_t>(rows[pixel] + down);
        line[pixel] = row < height && pixel < tile.count ? static_cast<int32_t>(row * width) : -1;
      }
      const int64_t slot = (high.tap_first + r * high.tap_step) * slots_wide + wide.tap_first;
      for (; s < wide.taps && t < portion.end; ++s, ++t) {
        const int32_t right = static_cast<int32_t>(s * wide.source_tap);
        tap->slot = static_cast<int32_t>(slot + s * wide.tap_step);
        int32_t met = 0;
        GROUPCONV_UNROLL
        for (int pixel = 0; pixel < kTilePixels; ++pixel) {
          const int32_t column = columns[pixel] + right;
          const bool inside = line[pixel] >= 0 && static_cast<uint32_t>(column) < width;
          tap->pixel[pixel] = inside ? line[pixel] + column : -1;
          met |= inside;
        }
        tap += met;
      }
    }
    tile.taps = static_cast<int32_t>(tap - tile.first_tap);
    return tap;
  }
};

}  // namespace
}  // namespace groupconv
