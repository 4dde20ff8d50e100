// gradWeight's register tile, and the walk of one thread over a matrix of them: over a box of pixels,
//   out[k, c] += sum over pixels of dy[k, pixel] * x[c, pixel]
// Accumulators are vectors along c, so that `out` is row-major as dweight is; dy is broadcast from memory, x
// is loaded. Which pixels belong together never depends on the threads: they share out the (k, c) plane.
#pragma once
#include "ops/conv2d/tiling.kernels.h"

namespace groupconv {
namespace {

// Accumulators: 16 of 32 registers (8 outputs divide W), 12 of 16 for W = 8, 8 of 16 beside SSE2's products.
constexpr int kTileOutputs = kRegisters == 32 ? (W < 8 ? W : 8) : 4;
constexpr int kTileInputs = kRegisters == 32 ? (W == 4 ? 4 : 2) : W == 8 ? 3 : 2;
constexpr int64_t kGroupOutputs = 64;  // rows of `out` in work together: their pages fit a first-level TLB
constexpr int64_t kChunkPixels = 200;  // 2-4 % better than 112 on Zen 4: fewer ways to memory, x still in L1

// Pixels of dy and, for each, one of x. Steps in elements; plane: from one channel block to the next.
struct PixelBox {
  int64_t images, rows, pixels;
  int64_t x_image, x_row, x_pixel, x_plane;
  int64_t dy_image, dy_row, dy_plane;  // dy's pixels are adjacent
};

// Channel blocks of a box that are to come into L2 meanwhile, because what follows reads them first.
struct Ahead {
  const Element* x = nullptr;
  int64_t x_blocks = 0;
  const Element* dy = nullptr;
  int64_t dy_blocks = 0;
};

// `Beside`: a line is prefetched with each pixel, `ahead` elements from where x or dy is read.
enum class Beside { Nothing, X, Dy };
template <int Inputs, Beside Prefetch>
GROUPCONV_KERNEL void outer_products(const PixelBox& in, const Element* x, const Element* dy, float* out,
                                     int64_t pitch, bool resume, int64_t ahead) {
  Vec sums[kTileOutputs][Inputs];  // from zero: what `out` holds arrives during the work
  GROUPCONV_UNROLL
  for (int k = 0; k < kTileOutputs; ++k) GROUPCONV_UNROLL
  for (int c = 0; c < Inputs; ++c) sums[k][c] = zero();
  if (resume)
    for (int k = 0; k < kTileOutputs; ++k)
      for (int c = 0; c < Inputs * W; c += 16) __builtin_prefetch(out + k * pitch + c, 1, 3);
  const int64_t x_plane = in.x_plane, x_pixel = in.x_pixel;
  for (int64_t image = 0, row = 0; image < in.images && row < in.rows;) {
    const Element *x_at = x + image * in.x_image + row * in.x_row,
                  *dy_at = dy + image * in.dy_image + row * in.dy_row;
    if (++row == in.rows) ++image, row = 0;
    for (int64_t pixel = in.pixels; pixel > 0; --pixel) {
      if constexpr (Prefetch == Beside::X) __builtin_prefetch(x_at + ahead, 0, 2);
      if constexpr (Prefetch == Beside::Dy) __builtin_prefetch(dy_at + ahead, 0, 2);
      Vec inputs[Inputs];
      GROUPCONV_UNROLL
      for (int c = 0; c < Inputs; ++c) inputs[c] = load(x_at + c * x_plane);
      GROUPCONV_UNROLL
      for (int k = 0; k < kTileOutputs; ++k) {
        const Vec output = broadcast(dy_at[k]);
        GROUPCONV_UNROLL
        for (int c = 0; c < Inputs; ++c) multiply_add(sums[k][c], output, inputs[c]);
      }
      x_at += x_pixel;
      dy_at += W;
    }
  }
  GROUPCONV_UNROLL
  for (int k = 0; k < kTileOutputs; ++k) GROUPCONV_UNROLL
  for (int c = 0; c < Inputs; ++c) {
    float* to = out + k * pitch + c * W;
    store_unaligned(to, resume ? load_unaligned(to) + sums[k][c] : sums[k][c]);
  }
}

GROUPCONV_INLINE void outer_products(int64_t inputs, const PixelBox& in, const Element* x, const Element* dy,
                                     float* out, int64_t pitch, bool resume,
                                     Beside prefetch = Beside::Nothing, int64_t ahead = 0) {
  each<kTileInputs>([&](auto less) GROUPCONV_INLINE_LAMBDA {
    constexpr int Inputs = less.value + 1;
    if (inputs != Inputs) return;
    if (prefetch == Beside::X)
      outer_products<Inputs, Beside::X>(in, x, dy, out, pitch, resume, ahead);
    else if (prefetch == Beside::Dy)
      outer_products<Inputs, Beside::Dy>(in, x, dy, out, pitch, resume, ahead);
    else
      outer_products<Inputs, Beside::Nothing>(in, x, dy, out, pitch, resume, 0);
  });
}

// out [outputs, pitch >= inputs], row-major; only [outputs, inputs] of it is touched.
struct WeightMatrix {
  float* out;
  int64_t pitch, outputs, inputs;
};

// A tile that sticks out of the matrix goes through a whole one.
GROUPCONV_KERNEL void outer_products_at_edge(int64_t blocks, const PixelBox& in, const Element* x,
                                             const Element* dy, const WeightMatrix& m, int64_t k, int64_t c,
                                             bool resume) {
  alignas(64) float whole[kTileOutputs * kTileInputs * W];
  const int64_t width = blocks * W, outputs = min_of(kTileOutputs, m.outputs - k),
                inputs = min_of(width, m.inputs - c);
  for (int64_t i = 0; i < kTileOutputs * width; ++i) whole[i] = 0;
  if (resume)
    for (int64_t row = 0; row < outputs; ++row)
      for (int64_t column = 0; column < inputs; ++column)
        whole[row * width + column] = m.out[(k + row) * m.pitch + c + column];
  outer_products(blocks, in, x, dy, whole, width, true);
  for (int64_t row = 0; row < outputs; ++row)
    for (int64_t column = 0; column < inputs; ++column)
      m.out[(k + row) * m.pitch + c + column] = whole[row * width + column];
}

// Input blocks of the tile at channel c of [0, end). Four go in two tiles: a tile of one has too few sums to
// hide their latency (avx2, conv2: 6 % of gradWeight).
GROUPCONV_INLINE int64_t tile_blocks(int64_t c, int64_t end) {
  const int64_t left = ceil_div(end - c, W);
  return kTileInputs == 3 && left == 4 ? 2 : min_of(kTileInputs, left);
}

// One group of outputs x one tile of inputs. x and dy are those of channel 0.
GROUPCONV_INLINE void outer_products_of(const PixelBox& in, const Element* x, const Element* dy,
                                        const WeightMatrix& m, Range outputs, int64_t c, int64_t blocks,
                                        bool resume, const Ahead& ahead = {}) {
  const Element* x_at = x + c / W * in.x_plane;
  for (int64_t k = outputs.begin; k < outputs.end; k += kTileOutputs) {
    const Element* dy_at = dy + k / W * in.dy_plane + k % W;
    float* out = m.out + k * m.pitch + c;
    const int64_t i = (k - outputs.begin) / kTileOutputs, j = i - ahead.x_blocks;
    if (k + kTileOutputs > m.outputs || c + blocks * W > m.inputs)
      outer_products_at_edge(blocks, in, x_at, dy_at, m, k, c, resume);
    else if (i < ahead.x_blocks)
      outer_products(blocks, in, x_at, dy_at, out, m.pitch, resume, Beside::X,
                     ahead.x + i * in.x_plane - x_at);
    else if (j < ahead.dy_blocks)
      outer_products(blocks, in, x_at, dy_at, out, m.pitch, resume, Beside::Dy,
                     ahead.dy + j * in.dy_plane - dy_at);
    else
      outer_products(blocks, in, x_at, dy_at, out, m.pitch, resume);
  }
}

// How many images, rows and pixels make a chunk of about kChunkPixels. Small images go several to a chunk, so
// that enough pixels pay for the accumulators' way to memory.
GROUPCONV_INLINE PixelBox chunk_of(const PixelBox& box) {
  PixelBox chunk = box;
  chunk.images = 1;
  if (box.rows * box.pixels <= kChunkPixels) {
    chunk.images = kChunkPixels / (box.rows * box.pixels);
  } else if (box.pixels <= kChunkPixels) {
    chunk.rows = ceil_div(box.rows, ceil_div(box.rows * box.pixels, kChunkPixels));
  } else {
    chunk.rows = 1;
    chunk.pixels = ceil_div(box.pixels, ceil_div(box.pixels, kChunkPixels));
  }
  return chunk;
}

// body(sub-box, offset into x, offset into dy) for the chunks of a box, always the same in the same order.
template <class Body>
GROUPCONV_INLINE void each_chunk(const PixelBox& box, const Body& body) {
  const PixelBox step = chunk_of(box);
  for (int64_t n = 0; n < box.images; n += step.images)
    for (int64_t row = 0; row < box.rows; row += step.rows)
      for (int64_t pixel = 0; pixel < box.pixels; pixel += step.pixels) {
        PixelBox chunk = box;
        chunk.images = min_of(step.images, box.images - n);
        chunk.rows = min_of(step.rows, box.rows - row);
        chunk.pixels = min_of(step.pixels, box.pixels - pixel);
        body(chunk, n * box.x_image + row * box.x_row + pixel * box.x_pixel,
             n * box.dy_image + row * box.dy_row + pixel * W);
      }
}

// The outputs along one side whose input (output * stride - before) lies inside [0, size).
GROUPCONV_INLINE Range outputs_inside(int64_t outputs, int64_t size, int64_t stride, int64_t before) {
  const int64_t first = before > 0 ? ceil_div(before, stride) : 0;
  const int64_t end = size + before > 0 ? ceil_div(size + before, stride) : 0;
  return {min_of(first, outputs), max_of(min_of(first, outputs), min_of(end, outputs))};
}

// A thread's part of the (k, c) plane, in channels: whole tiles, outputs first.
GROUPCONV_INLINE Rectangle weight_part(int64_t outputs, int64_t inputs, int thread, int threads) {
  const int64_t width = kTileInputs * W;
  const Rectangle tiles =
      rectangle(ceil_div(outputs, kTileOutputs), ceil_div(inputs, width), thread, threads);
  return {{tiles.major.begin * kTileOutputs, min_of(outputs, tiles.major.end * kTileOutputs)},
          {tiles.minor.begin * width, min_of(inputs, tiles.minor.end * width)}};
}

}  // namespace
}  // namespace groupconv
