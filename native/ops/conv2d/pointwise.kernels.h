// The register tiles of a 1x1 convolution: kTilePixels pixels x 2 output blocks stay in registers while the
// input channels go by; pixels are broadcast from memory, weights are loaded once per tile and input channel.
//   x [C/W, pixels, W]   weight [K/W pairs][C, 2, W] (a last single block: [C, 1, W])   y [K/W, pixels, W]
#pragma once
#include "ops/conv2d/tiling.kernels.h"

namespace groupconv {
namespace {

constexpr int kUnrolledLanes = W == 8 ? 8 : 1;

// What the tiles of a run fetch for later: per input block of a tile, `lines` cache lines.
struct Prefetch {
  const Element* from;
  int64_t lines, block, tile;  // `block` and `tile`: elements from one input block, one tile to the next
  int64_t tiles;               // the first ones of the run; the others fetch nothing
};

// Tiles of one width side by side in one image: a call for each would cost a twentieth of a short tile.
struct PointwiseRun {
  const Element* x;          // first pixel in the first input block
  int64_t x_plane, y_plane;  // elements from one channel block to the next
  const Element* weight;
  int64_t input_blocks;
  Element* y;
  const float* bias;        // null: start from y where `resume`, else from zero
  const Element* residual;  // null: none; may be y
  bool resume;
  Activation activation;
  int64_t tiles;
  Prefetch prefetch;
};

template <int Pixels, int Blocks>
GROUPCONV_KERNEL void run_pointwise(const PointwiseRun& run) {
  const int64_t x_plane = run.x_plane, y_plane = run.y_plane;
  const Element *first = run.x, *residual = run.residual, *ahead = run.prefetch.from;
  Element* y = run.y;
  for (int64_t t = 0; t < run.tiles; ++t) {
    Vec sums[Blocks][Pixels];
    GROUPCONV_UNROLL
    for (int block = 0; block < Blocks; ++block) GROUPCONV_UNROLL
    for (int pixel = 0; pixel < Pixels; ++pixel)
      sums[block][pixel] = run.bias     ? load(run.bias + block * W)
                           : run.resume ? load(y + block * y_plane + pixel * W)
                                        : zero();
    const Element *x = first, *weight = run.weight, *prefetch = ahead;
    const int64_t lines = t < run.prefetch.tiles ? run.prefetch.lines : 0;
    for (int64_t c = run.input_blocks; c > 0; --c) {
      for (int64_t line = 0; line < lines; ++line) __builtin_prefetch(prefetch + line * kLine, 0, 2);
      prefetch += run.prefetch.block;
      _Pragma("GCC unroll kUnrolledLanes") for (int lane = 0; lane < W; lane += kDotDepth) {
        Operand weights[Blocks];
        GROUPCONV_UNROLL
        for (int block = 0; block < Blocks; ++block)
          weights[block] = load_operand(weight + (lane * Blocks + block * kDotDepth) * W);
        GROUPCONV_UNROLL
        for (int pixel = 0; pixel < Pixels; ++pixel) {
          const Operand input = broadcast_operand(x + (pixel * W + lane));
          GROUPCONV_UNROLL
          for (int block = 0; block < Blocks; ++block)
            multiply_add(sums[block][pixel], input, weights[block]);
        }
      }
      x += x_plane;
      weight += W * Blocks * W;
    }
    GROUPCONV_UNROLL
    for (int block = 0; block < Blocks; ++block) {
      if (residual) {
        GROUPCONV_UNROLL
        for (int pixel = 0; pixel < Pixels; ++pixel)
          sums[block][pixel] += load(residual + block * y_plane + pixel * W);
      }
      activate(sums[block], run.activation);
      GROUPCONV_UNROLL
      for (int pixel = 0; pixel < Pixels; ++pixel) store(y + block * y_plane + pixel * W, sums[block][pixel]);
    }
    first += Pixels * W;
    y += Pixels * W;
    if (residual) residual += Pixels * W;
    ahead += run.prefetch.tile;
  }
}

template <int Blocks, int... Is>
GROUPCONV_INLINE void run_pointwise(int64_t pixels, const PointwiseRun& run, Indices<Is...>) {
  static constexpr void (*by_pixels[])(const PointwiseRun&) = {run_pointwise<Is + 1, Blocks>...};
  by_pixels[pixels - 1](run);
}
template <int Blocks>
GROUPCONV_INLINE void run_pointwise(int64_t pixels, const PointwiseRun& run) {
  run_pointwise<Blocks>(pixels, run, typename MakeIndices<kTilePixels>::type{});
}

GROUPCONV_INLINE int64_t packed_pointwise_size(int64_t inputs, int64_t outputs) {
  return ceil_div(inputs, W) * W * ceil_div(outputs, W) * W;
}

// weight(output, input) is at output * output_step + input * input_step; one step is 1. Pads with zeros.
GROUPCONV_INLINE void pack_pointwise(const float* weight, int64_t inputs, int64_t outputs, int64_t input_step,
                                     int64_t output_step, Element* packed, const ExecutionContext& context) {
  const int64_t input_blocks = ceil_div(inputs, W), output_blocks = ceil_div(outputs, W);
  parallel_for(context, output_blocks * input_blocks, [=](int64_t i) {
    const int64_t o = i / input_blocks, c = i % input_blocks;
    const int64_t blocks = o / 2 * 2 + 1 < output_blocks ? 2 : 1;
    Element* to = packed + (o / 2 * 2 * input_blocks + c * blocks) * W * W +
                  o % 2 * (W * kDotDepth);  // [W / kDotDepth, blocks, W, kDotDepth]
    const float* from = weight + o * W * output_step + c * W * input_step;
    const int64_t width = min_of(W, outputs - o * W), height = min_of(W, inputs - c * W);
    if (width < W || height < W) {
      for (int64_t lane = 0; lane < W; ++lane)
        for (int64_t out = 0; out < W; ++out)
          to[packed_at(lane, out, blocks * W)] =
              Element(lane < height && out < width ? from[out * output_step + lane * input_step] : 0.0f);
      return;
    }
    Vec rows[W];
    GROUPCONV_UNROLL
    for (int row = 0; row < W; ++row)
      rows[row] = load_unaligned(from + row * (input_step == 1 ? output_step : input_step));
    if (input_step == 1) transpose(rows);
    GROUPCONV_UNROLL
    for (int row = 0; row < W; row += kDotDepth) store_operand(to + row * blocks * W, rows, row);
  });
}

}  // namespace
}  // namespace groupconv
