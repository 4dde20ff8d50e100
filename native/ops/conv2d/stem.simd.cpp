// Stem, forward. A tile of pixels of one row x two output blocks stays in registers; every tap loads its two
// weight vectors and broadcasts one x value per pixel. Tiles that touch the left or right border read a
// zero-padded copy of their patch instead of x, narrow rows one copy of the whole row; kernel rows above and
// below are skipped. A row takes one pair of output blocks after the other, so that its weights stay in L1.
#include "cpu/moments.h"
#include "ops/conv2d/stem.kernels.h"

namespace groupconv {
namespace {

constexpr int64_t kPatch = 16384;  // elements on the stack; the 7x7 stem at stride 2 takes 3 x 7 x 48

struct StemTile {
  const Element* x;         // of the first pixel, kernel row 0, column 0; rows outside are not read
  int64_t x_plane, x_row;   // elements from channel to channel, from kernel row to kernel row
  int64_t x_step, x_pixel;  // from kernel column to kernel column, from pixel to pixel
  const Element* weight;    // [C, R, S, lanes]
  int64_t weight_block;
  int64_t c, r, s;
  Range rows;  // kernel rows that lie inside
  Element* y;
  int64_t y_block, pixels;  // pixels to store: the rest of the tile is computed in vain
  Epilogue epilogue;
};

// Stride: x_pixel where it is known when compiling, or 0.
template <int Width, int Blocks, int Stride, class Block>
GROUPCONV_KERNEL void stem_tile(const StemTile& tile) {
  typedef typename Block::Lanes Lanes;
  const auto load_lanes = [](const auto* from) GROUPCONV_INLINE_LAMBDA { return Block::load(from); };
  Lanes sums[Blocks][Width];
  const float* bias = tile.epilogue.bias;
  GROUPCONV_UNROLL
  for (int block = 0; block < Blocks; ++block) GROUPCONV_UNROLL
  for (int pixel = 0; pixel < Width; ++pixel)
    sums[block][pixel] = bias ? load_lanes(bias + block * W) : Lanes{};
  const int64_t x_pixel = Stride ? Stride : tile.x_pixel, x_step = tile.x_step;
  const int64_t weight_block = tile.weight_block;
  for (int64_t c = 0; c < tile.c; ++c)
    for (int64_t r = tile.rows.begin; r < tile.rows.end; ++r) {
      const Element* x = tile.x + c * tile.x_plane + r * tile.x_row;
      const Element* weight = tile.weight + (c * tile.r + r) * tile.s * W;
#pragma GCC unroll 1
      for (int64_t s = tile.s; s > 0; --s, x += x_step, weight += W) {
        Lanes weights[Blocks];
        GROUPCONV_UNROLL
        for (int block = 0; block < Blocks; ++block)
          weights[block] = load_lanes(weight + block * weight_block);
        GROUPCONV_UNROLL
        for (int pixel = 0; pixel < Width; ++pixel) {
          const Lanes input = float(x[pixel * x_pixel]) - Lanes{};
          GROUPCONV_UNROLL
          for (int block = 0; block < Blocks; ++block) sums[block][pixel] += input * weights[block];
        }
      }
    }
  const Element* residual = tile.epilogue.residual;
  const int64_t pixels = tile.pixels;
  GROUPCONV_UNROLL
  for (int block = 0; block < Blocks; ++block) {
    const int64_t offset = block * tile.y_block;
    Vec results[Width];
    GROUPCONV_UNROLL
    for (int pixel = 0; pixel < Width; ++pixel) {
      results[pixel] = Block::widen(sums[block][pixel]);
      if (residual && pixel < pixels) results[pixel] += load(residual + offset + pixel * W);
    }
    activate(results, tile.epilogue.activation);
    Element* y = tile.y + offset;
    if (pixels == Width) {
      GROUPCONV_UNROLL
      for (int pixel = 0; pixel < Width; ++pixel) store(y + pixel * W, results[pixel]);
      continue;
    }
    GROUPCONV_UNROLL
    for (int pixel = 0; pixel < Width; ++pixel)
      if (pixel < pixels) store(y + pixel * W, results[pixel]);
  }
}

// Positions of a tile: one block alone leaves registers for twice as many as two.
constexpr int tile_pixels(int width, int64_t blocks) { return blocks == 1 ? 2 * width : width; }

template <int Stride>
void run_tile(const StemTile& tile, int width, int64_t block, int64_t channels) {
  with_tile_blocks(block, channels, [&](auto blocks, auto lanes) GROUPCONV_INLINE_LAMBDA {
    with_tile_width(width, [&](auto w) GROUPCONV_INLINE_LAMBDA {
      stem_tile<tile_pixels(w.value, blocks.value), blocks.value, Stride, decltype(lanes)>(tile);
    });
  });
}

int64_t patch_width(const Conv2dProblem& p, int64_t pixels) {
  return (pixels - 1) * p.stride_w + int64_t{p.s - 1} * p.dilation_w + 1;
}

// Elements of one row of a patch, and of the first vector after it.
int64_t patch_row(const Conv2dProblem& p, int64_t pixels) { return ceil_div(patch_width(p, pixels), W) * W; }

// patch [C, R, row] <- x, zero outside. Kernel rows outside of `rows` are left out.
void copy_patch(const Conv2dProblem& p, const Element* x, int64_t h, int64_t w, Range rows, int64_t row,
                Element* patch) {
  const int64_t begin = min_of(row, max_of(0, -w)), end = max_of(begin, min_of(row, p.w - w));
  for (int64_t c = 0; c < p.c; ++c)
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      Element* out = patch + (c * p.r + r) * row;
      const Element* in = x + (c * p.h + h + r * p.dilation_h) * p.w + w;
      Vec nothing = zero();
      GROUPCONV_PIN(nothing);  // or the loops become calls of memset, longer than the rows they fill
      for (int64_t i = 0; i < begin; i += W) store(out + i, nothing);
      for (int64_t i = end / W * W; i < row; i += W) store(out + i, nothing);
      copy_elements(in + begin, out + begin, end - begin);
    }
}

// A row of outputs in tiles whose sizes differ by at most one; divided once, not per row: a row is a few
// hundred cycles.
struct Cut {
  int64_t tiles, shorter, longer;  // `longer` tiles of shorter + 1 pixels come first
};
Cut cut_row(const Conv2dProblem& p, int blocks) {
  const int64_t tiles = ceil_div(p.q, tile_pixels(kTilePixels, blocks));
  return {tiles, p.q / tiles, p.q % tiles};
}

// Kernel rows that lie inside where kernel row 0 is row h of x.
Range rows_inside(const Conv2dProblem& p, int64_t h) {
  const int64_t last = h + int64_t{p.r - 1} * p.dilation_h;
  return {h < 0 ? min_of(p.r, ceil_div(-h, p.dilation_h)) : 0,
          last < p.h ? p.r
          : p.h > h  ? min_of(p.r, (p.h - h - 1) / p.dilation_h + 1)
                     : 0};
}

// Where a row's tiles read: x itself, or the padded copy of a whole row.
struct Source {
  const Element* x;  // of output column 0
  int64_t plane, row;
  bool padded;
};

// Narrow rows are copied as a whole: most of their tiles touch a border, and all blocks share the copy.
bool is_narrow(const Conv2dProblem& p) {
  return p.q <= 64 && int64_t{p.c} * p.r * patch_row(p, p.q + kTilePixels) <= kPatch;
}

Source source_of(const Conv2dProblem& p, const Element* x, int64_t h, Range rows, Element* patch) {
  const bool touches = p.pad_left > 0 || patch_width(p, p.q) - p.pad_left > p.w;
  if (!touches || !is_narrow(p))
    return {x + h * p.w - p.pad_left, int64_t{p.h} * p.w, int64_t{p.w} * p.dilation_h, false};
  const int64_t row = patch_row(p, p.q + kTilePixels);
  copy_patch(p, x, h, -p.pad_left, rows, row, patch);
  return {patch, p.r * row, row, true};
}

// Output row `row` of image n, the one or two channel blocks from `block` on.
void run_blocks(const Conv2dProblem& p, const Conv2dBuffers& b, const Source& source, Range rows,
                const Cut& cut, int64_t n, int64_t row, int64_t block) {
  alignas(64) Element patch[kPatch];
  const int64_t taps = stem_taps(p), count = tile_blocks(block, p.k);
  const int64_t offset = (((n * ceil_div(p.k, W) + block) * p.p + row) * p.q) * W;
  StemTile tile{nullptr,
                0,
                0,
                p.dilation_w,
                p.stride_w,
                elements(b.weight) + block * taps * W,
                taps * W,
                p.c,
                p.r,
                p.s,
                rows,
                elements(b.y) + offset,
                int64_t{p.p} * p.q * W,
                0,
                {b.bias ? b.bias + block * W : nullptr, b.residual ? elements(b.residual) + offset : nullptr,
                 p.activation}};
  int64_t w = -p.pad_left;
  for (int64_t i = 0; i < cut.tiles; ++i) {
    tile.pixels = cut.shorter + (i < cut.longer);
    const int width = tile_width(ceil_div(tile.pixels * count, 2));
    const int64_t computed = tile_pixels(width, count);
    if (source.padded || (w >= 0 && w + patch_width(p, computed) <= p.w)) {
      tile.x = source.x + w + p.pad_left;
      tile.x_row = source.row;
      tile.x_plane = source.plane;
    } else {
      tile.x = patch;
      tile.x_row = patch_row(p, computed);
      tile.x_plane = p.r * tile.x_row;
      copy_patch(p, elements(b.x) + n * p.c * p.h * p.w, row * p.stride_h - p.pad_top, w, rows, tile.x_row,
                 patch);
    }
    if (p.stride_w == 1)
      run_tile<1>(tile, width, block, p.k);
    else if (p.stride_w == 2)
      run_tile<2>(tile, width, block, p.k);
    else
      run_tile<0>(tile, width, block, p.k);
    w += tile.pixels * p.stride_w;
    tile.y += tile.pixels * W;
    if (b.residual) tile.epilogue.residual += tile.pixels * W;
  }
}

void run_row(const Conv2dProblem& p, const Conv2dBuffers& b, const Cut (&cuts)[2],
             const PlanesInTheMaking& planes, int64_t n, int64_t row) {
  alignas(64) Element patch[kPatch];
  const int64_t h = row * p.stride_h - p.pad_top;
  const Range rows = rows_inside(p, h);
  const Source source = source_of(p, elements(b.x) + n * p.c * p.h * p.w, h, rows, patch);
  for (int64_t block = 0, count; block * W < p.k; block += count) {
    count = tile_blocks(block, p.k);
    run_blocks(p, b, source, rows, cuts[count - 1], n, row, block);
    for (int64_t i = block; i < block + count; ++i) planes.stored(n * ceil_div(p.k, W) + i, p.q);
  }
}

bool accepts(const Conv2dProblem& p) {
  return p.pass == Conv2dPass::Forward && is_stem(p) &&
         int64_t{p.c} * p.r * patch_row(p, 2 * kTilePixels) <= kPatch;
}

void run(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  const Cut cuts[2] = {cut_row(p, 1), cut_row(p, 2)};
  const PlanesInTheMaking planes(b.moments, elements(b.y), int64_t{p.p} * p.q);
  parallel_for(context, int64_t{p.n} * p.p,
               [&](int64_t i) { run_row(p, b, cuts, planes, i / p.p, i % p.p); });
}

constexpr Conv2dSolver solvers[] = {{"stem", accepts, run, nullptr, stem_prepared_bytes, stem_prepare}};

}  // namespace

namespace GROUPCONV_ISA {
extern const Conv2dTable conv2d_stem = {solvers, 1};
}

}  // namespace groupconv
