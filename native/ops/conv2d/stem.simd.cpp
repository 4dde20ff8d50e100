// Stem, forward. A tile of pixels of one row x two output blocks stays in registers; every tap loads its two
// weight vectors and broadcasts one x value per pixel. Tiles that touch the left or right border read a
// zero-padded copy of their patch instead of x; rows above and below are skipped. Strips of rows take one
// pair of output blocks after the other, so that its weights stay in L1.
#include "ops/conv2d/stem.kernels.h"

namespace groupconv {
namespace {

constexpr int64_t kPatch = 16384;  // floats on the stack; the 7x7 stem at stride 2 takes 3 x 7 x 48

struct StemTile {
  const float* x;           // of the first pixel, kernel row 0, column 0; rows outside are not read
  int64_t x_plane, x_row;   // floats from channel to channel, from kernel row to kernel row
  int64_t x_step, x_pixel;  // from kernel column to kernel column, from pixel to pixel
  const float* weight;      // [C, R, S, lanes]
  int64_t weight_block;
  int64_t c, r, s;
  Range rows;  // kernel rows that lie inside
  float* y;
  int64_t y_block, pixels;  // pixels to store: the rest of the tile is computed in vain
  Epilogue epilogue;
};

// Stride: x_pixel where it is known when compiling, or 0.
template <int Width, int Blocks, int Stride>
GROUPCONV_KERNEL void stem_tile(const StemTile& tile) {
  Vec sums[Blocks][Width];
  const float* bias = tile.epilogue.bias;
  GROUPCONV_UNROLL
  for (int block = 0; block < Blocks; ++block) GROUPCONV_UNROLL
  for (int pixel = 0; pixel < Width; ++pixel) sums[block][pixel] = bias ? load(bias + block * W) : zero();
  const int64_t x_pixel = Stride ? Stride : tile.x_pixel, x_step = tile.x_step;
  const int64_t weight_block = tile.weight_block;
  for (int64_t c = 0; c < tile.c; ++c)
    for (int64_t r = tile.rows.begin; r < tile.rows.end; ++r) {
      const float* x = tile.x + c * tile.x_plane + r * tile.x_row;
      const float* weight = tile.weight + (c * tile.r + r) * tile.s * W;
#pragma GCC unroll 1
      for (int64_t s = tile.s; s > 0; --s, x += x_step, weight += W) {
        Vec weights[Blocks];
        GROUPCONV_UNROLL
        for (int block = 0; block < Blocks; ++block) weights[block] = load(weight + block * weight_block);
        GROUPCONV_UNROLL
        for (int pixel = 0; pixel < Width; ++pixel) {
          const Vec input = broadcast(x[pixel * x_pixel]);
          GROUPCONV_UNROLL
          for (int block = 0; block < Blocks; ++block) sums[block][pixel] += input * weights[block];
        }
      }
    }
  const float* residual = tile.epilogue.residual;
  const Activation activation = tile.epilogue.activation;
  const int64_t pixels = tile.pixels;
  GROUPCONV_UNROLL
  for (int block = 0; block < Blocks; ++block) {
    float* y = tile.y + block * tile.y_block;
    if (pixels == Width && !residual && activation == Activation::None) {
      GROUPCONV_UNROLL
      for (int pixel = 0; pixel < Width; ++pixel) store(y + pixel * W, sums[block][pixel]);
      continue;
    }
    GROUPCONV_UNROLL
    for (int pixel = 0; pixel < Width; ++pixel) {
      if (pixel >= pixels) break;
      if (residual) sums[block][pixel] += load(residual + block * tile.y_block + pixel * W);
      store(y + pixel * W, activate(sums[block][pixel], activation));
    }
  }
}

template <int Stride>
void run_tile(const StemTile& tile, int width, int64_t blocks) {
  with_tile_width(width, [&](auto w) GROUPCONV_INLINE_LAMBDA {
    if (blocks >= 2)
      stem_tile<w.value, 2, Stride>(tile);
    else
      stem_tile<w.value, 1, Stride>(tile);
  });
}

int64_t patch_width(const Conv2dProblem& p, int64_t pixels) {
  return (pixels - 1) * p.stride_w + int64_t{p.s - 1} * p.dilation_w + 1;
}

// Floats of one row of a patch, and of the first vector after it.
int64_t patch_row(const Conv2dProblem& p, int64_t pixels) { return ceil_div(patch_width(p, pixels), W) * W; }

// patch [C, R, row] <- x, zero outside. Kernel rows outside of `rows` are left out.
void copy_patch(const Conv2dProblem& p, const float* x, int64_t h, int64_t w, Range rows, int64_t row,
                float* patch) {
  const int64_t begin = min_of(row, max_of(0, -w)), end = max_of(begin, min_of(row, p.w - w));
  for (int64_t c = 0; c < p.c; ++c)
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      float* out = patch + (c * p.r + r) * row;
      const float* in = x + (c * p.h + h + r * p.dilation_h) * p.w + w;
      for (int64_t i = 0; i < row; i += W) store(out + i, zero());
      copy_floats(in + begin, out + begin, end - begin);
    }
}

// Output row `row` of image n.
void run_row(const Conv2dProblem& p, const Conv2dBuffers& b, int64_t n, int64_t row) {
  alignas(64) float patch[kPatch];
  const int64_t blocks = ceil_div(p.k, W), taps = stem_taps(p), parts = ceil_div(p.q, kTilePixels);
  const int64_t h = row * p.stride_h - p.pad_top, y_block = int64_t{p.p} * p.q * W;
  const float* x = b.x + n * p.c * p.h * p.w;
  const Range rows{h < 0 ? min_of(p.r, ceil_div(-h, p.dilation_h)) : 0,
                   p.h > h ? min_of(p.r, (p.h - h - 1) / p.dilation_h + 1) : 0};
  for (int64_t i = 0; i < parts; ++i) {
    const Range pixels = part(p.q, i, parts);
    const int width = tile_width(pixels.end - pixels.begin);
    const int64_t w = pixels.begin * p.stride_w - p.pad_left;
    int64_t offset = (n * blocks * p.p * p.q + row * p.q + pixels.begin) * W;
    StemTile tile{x + h * p.w + w,
                  int64_t{p.h} * p.w,
                  int64_t{p.w} * p.dilation_h,
                  p.dilation_w,
                  p.stride_w,
                  b.weight,
                  taps * W,
                  p.c,
                  p.r,
                  p.s,
                  rows,
                  b.y + offset,
                  y_block,
                  pixels.end - pixels.begin,
                  {b.bias, b.residual ? b.residual + offset : nullptr, p.activation}};
    if (w < 0 || w + patch_width(p, width) > p.w) {
      tile.x = patch;
      tile.x_row = patch_row(p, width);
      tile.x_plane = p.r * tile.x_row;
      copy_patch(p, x, h, w, rows, tile.x_row, patch);
    }
    for (int64_t block = 0; block < blocks; block += 2) {
      if (p.stride_w == 1)
        run_tile<1>(tile, width, blocks - block);
      else if (p.stride_w == 2)
        run_tile<2>(tile, width, blocks - block);
      else
        run_tile<0>(tile, width, blocks - block);
      tile.weight += 2 * taps * W;
      tile.y += 2 * y_block;
      if (b.bias) tile.epilogue.bias += 2 * W;
      if (b.residual) tile.epilogue.residual += 2 * y_block;
    }
  }
}

bool accepts(const Conv2dProblem& p) {
  return p.pass == Conv2dPass::Forward && is_stem(p) &&
         int64_t{p.c} * p.r * patch_row(p, kTilePixels) <= kPatch;
}

void run(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  parallel_for(context, int64_t{p.n} * p.p, [&](int64_t i) { run_row(p, b, i / p.p, i % p.p); });
}

constexpr Conv2dSolver solvers[] = {{"stem", accepts, run, nullptr, stem_prepared_bytes, stem_prepare}};

}  // namespace

namespace GROUPCONV_ISA {
extern const Conv2dTable conv2d_stem = {solvers, 1};
}

}  // namespace groupconv
