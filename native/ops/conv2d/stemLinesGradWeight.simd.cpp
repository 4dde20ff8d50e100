// Stem, gradWeight, for kernels 3, 5 and 7 wide without horizontal dilation: dweight[k, line, s] = sum over
// pixels of dy[k, p, q] * x[line's row for p, q * stride + s - pad], where a line is one channel's kernel
// row. A tile of lines x S taps x one or two output blocks stays in registers while the pixels go by: one dy
// vector per block, one broadcast per tap, straight from x. Chunks that touch a border read a zero-padded
// copy of their part of x.
//
// The chunks are cut into a number of ranges that follows from the problem alone. Their partial sums
// [ranges, K/W, taps, lanes] are added in order, so results do not depend on the number of threads.
#include "ops/conv2d/stem.kernels.h"

namespace groupconv {
namespace {

constexpr int64_t kChunkPixels = 256;  // 32 KB of dy in two blocks, and enough to pay for the sums' loads
constexpr int64_t kMaxRanges = 64;
constexpr int64_t kMinChunks = 2;  // per range

// How many chunks cut each side of [P, Q].
struct Cuts {
  int64_t rows, columns;
};
Cuts cuts_of(const Conv2dProblem& p) {
  const int64_t columns = ceil_div(p.q, kChunkPixels);
  return {ceil_div(p.p, max_of(1, kChunkPixels / ceil_div(p.q, columns))), columns};
}
int64_t image_chunks(const Conv2dProblem& p) { return cuts_of(p).rows * cuts_of(p).columns; }
int64_t chunk_ranges(const Conv2dProblem& p) {
  return min_of(kMaxRanges, ceil_div(p.n * image_chunks(p), kMinChunks));
}

// Rows and columns of x that so many of dy meet.
int64_t met_rows(const Conv2dProblem& p, int64_t rows) {
  return (rows - 1) * p.stride_h + int64_t{p.r - 1} * p.dilation_h + 1;
}
int64_t met_columns(const Conv2dProblem& p, int64_t columns) { return (columns - 1) * p.stride_w + p.s; }

// Elements of the largest copy, in whole vectors of float32.
int64_t copy_size(const Conv2dProblem& p) {
  const Cuts cuts = cuts_of(p);
  const int64_t rows = met_rows(p, ceil_div(p.p, cuts.rows)),
                columns = met_columns(p, ceil_div(p.q, cuts.columns));
  return ceil_div(p.c * rows * columns, kDotDepth * W) * (kDotDepth * W);
}

// The part of x that a chunk meets, from its first row and column on.
struct Band {
  const Element* x;
  int64_t plane, row;  // elements from channel to channel, from row to row
};

void fill_zero(Element* out, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) out[i] = Element(0);
}

// x [C, H, W]; copy is used where the chunk meets padding.
Band band_of(const Conv2dProblem& p, const Element* x, Range rows, Range columns, Element* copy) {
  const int64_t top = rows.begin * p.stride_h - p.pad_top, left = columns.begin * p.stride_w - p.pad_left;
  const int64_t height = met_rows(p, rows.end - rows.begin),
                width = met_columns(p, columns.end - columns.begin);
  if (top >= 0 && left >= 0 && top + height <= p.h && left + width <= p.w)
    return {x + top * p.w + left, int64_t{p.h} * p.w, p.w};
  const int64_t begin = min_of(width, max_of(0, -left)), end = max_of(begin, min_of(width, p.w - left));
  for (int64_t c = 0; c < p.c; ++c)
    for (int64_t i = 0; i < height; ++i) {
      const int64_t h = top + i;
      Element* out = copy + (c * height + i) * width;
      if (h < 0 || h >= p.h) {
        fill_zero(out, 0, width);
        continue;
      }
      fill_zero(out, 0, begin);
      copy_elements(x + (c * p.h + h) * p.w + left + begin, out + begin, end - begin);
      fill_zero(out, end, width);
    }
  return {copy, height * width, width};
}

// Lines that fit into registers beside one dy vector per block and a broadcast.
constexpr int max_lines(int kernel, int blocks) {
  const int taps = (kRegisters == 32 ? 28 : 12) / blocks;
  return taps >= kernel ? taps / kernel : 1;
}

struct LineTile {
  const Element* x[max_lines(3, 1)];  // of each line, at the chunk's first pixel
  const Element* dy;
  int64_t x_row, x_pixel, dy_row, dy_block;  // elements from pixel row to pixel row, …
  int64_t rows, pixels;
  float* sums;  // [lines, S, lanes]
  int64_t sums_block;
  bool first;  // overwrite sums
};

template <int S, int Lines, int Blocks, class Block>
GROUPCONV_KERNEL void line_tile(const LineTile& tile) {
  typedef typename Block::Lanes Lanes;
  const auto load_lanes = [](const auto* from) GROUPCONV_INLINE_LAMBDA { return Block::load(from); };
  Lanes sums[Blocks][Lines * S];
  GROUPCONV_UNROLL
  for (int block = 0; block < Blocks; ++block) GROUPCONV_UNROLL
  for (int tap = 0; tap < Lines * S; ++tap)
    sums[block][tap] = tile.first ? Lanes{} : load_lanes(tile.sums + block * tile.sums_block + tap * W);
  const int64_t dy_block = tile.dy_block, x_pixel = tile.x_pixel;
  for (int64_t row = 0; row < tile.rows; ++row) {
    const Element* x[Lines];
    GROUPCONV_UNROLL
    for (int line = 0; line < Lines; ++line) x[line] = tile.x[line] + row * tile.x_row;
    const Element* dy = tile.dy + row * tile.dy_row;
#pragma GCC unroll 1
    for (int64_t pixel = tile.pixels; pixel > 0; --pixel, dy += W) {
      Lanes gradients[Blocks];
      GROUPCONV_UNROLL
      for (int block = 0; block < Blocks; ++block) gradients[block] = load_lanes(dy + block * dy_block);
      GROUPCONV_UNROLL
      for (int line = 0; line < Lines; ++line) {
        GROUPCONV_UNROLL
        for (int s = 0; s < S; ++s) {
          const Lanes input = float(x[line][s]) - Lanes{};
          GROUPCONV_UNROLL
          for (int block = 0; block < Blocks; ++block) sums[block][line * S + s] += input * gradients[block];
        }
        x[line] += x_pixel;
      }
    }
  }
  GROUPCONV_UNROLL
  for (int block = 0; block < Blocks; ++block) GROUPCONV_UNROLL
  for (int tap = 0; tap < Lines * S; ++tap)
    store(tile.sums + block * tile.sums_block + tap * W, Block::widen(sums[block][tap]));
}

// One chunk of image n into partial sums [K/W, taps, lanes].
template <int S>
void add_chunk(const Conv2dProblem& p, const Conv2dBuffers& b, int64_t n, Range rows, Range columns,
               Element* copy, float* sums, bool first) {
  const int64_t lines = int64_t{p.c} * p.r, area = int64_t{p.p} * p.q, stride = stem_taps(p) * W;
  const Band band = band_of(p, elements(b.x) + n * p.c * p.h * p.w, rows, columns, copy);
  for (int64_t block = 0; block * W < p.k; block += tile_blocks(block, p.k))
    with_tile_blocks(block, p.k, [&](auto blocks, auto lanes) GROUPCONV_INLINE_LAMBDA {
      constexpr int Max = max_lines(S, blocks.value);
      const int64_t parts = ceil_div(lines, Max);
      for (int64_t i = 0; i < parts; ++i) {
        const Range range = part(lines, i, parts);
        LineTile tile{
            {},
            elements(b.dy) + ((n * ceil_div(p.k, W) + block) * area + rows.begin * p.q + columns.begin) * W,
            p.stride_h * band.row,
            p.stride_w,
            p.q * W,
            area * W,
            rows.end - rows.begin,
            columns.end - columns.begin,
            sums + block * stride + range.begin * S * W,
            stride,
            first};
        for (int64_t line = range.begin; line < range.end; ++line)
          tile.x[line - range.begin] =
              band.x + line / p.r * band.plane + line % p.r * p.dilation_h * band.row;
        each<Max>([&](auto less) GROUPCONV_INLINE_LAMBDA {
          if (range.end - range.begin == less.value + 1)
            line_tile<S, less.value + 1, blocks.value, decltype(lanes)>(tile);
        });
      }
    });
}

using AddChunk = void (*)(const Conv2dProblem&, const Conv2dBuffers&, int64_t, Range, Range, Element*, float*,
                          bool);
AddChunk add_chunk_of(int kernel) {
  return kernel == 3 ? add_chunk<3> : kernel == 5 ? add_chunk<5> : kernel == 7 ? add_chunk<7> : nullptr;
}

// Fewer sums than two multiply-adds per cycle of latency 4 wait for one another: with 16 registers a kernel 7
// wide has 7 (Zen 3: 47 % of the peak, where the other solver reaches 77 %).
bool hides_latency(int kernel) { return max_lines(kernel, 1) * kernel >= 8; }

bool accepts(const Conv2dProblem& p) {
  return p.pass == Conv2dPass::GradWeight && is_stem(p) && p.dilation_w == 1 && add_chunk_of(p.s) &&
         hides_latency(p.s);
}

int64_t sums_size(const Conv2dProblem& p) { return ceil_div(p.k, W) * stem_taps(p) * W; }

size_t workspace_bytes(const Conv2dProblem& p) {
  return chunk_ranges(p) * (copy_size(p) * sizeof(Element) + sums_size(p) * sizeof(float));
}

void run(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  const int64_t ranges = chunk_ranges(p), chunks = image_chunks(p), taps = stem_taps(p);
  const Cuts cuts = cuts_of(p);
  const AddChunk add = add_chunk_of(p.s);
  Element* copies = static_cast<Element*>(b.workspace);                       // [ranges][C, rows, columns]
  float* partial = reinterpret_cast<float*>(copies + ranges * copy_size(p));  // [ranges][K/W, taps, lanes]
  parallel(context, [&](int thread, int threads) {
    const Range mine = share(ranges, thread, threads);
    Element* copy = copies + mine.begin * copy_size(p);  // one for all of them: it stays in L2
    for (int64_t range = mine.begin; range < mine.end; ++range) {
      const Range work = part(p.n * chunks, range, ranges);
      for (int64_t i = work.begin; i < work.end; ++i)
        add(p, b, i / chunks, part(p.p, i % chunks / cuts.columns, cuts.rows),
            part(p.q, i % cuts.columns, cuts.columns), copy, partial + range * sums_size(p), i == work.begin);
    }
  });
  add_stem_ranges(p, partial, ranges, sums_size(p), taps * W, b.dweight, context);
}

constexpr Conv2dSolver solvers[] = {{"stemLines", accepts, run, workspace_bytes}};

}  // namespace

namespace GROUPCONV_ISA {
extern const Conv2dTable conv2d_stem_lines_grad_weight = {solvers, 1};
}

}  // namespace groupconv
