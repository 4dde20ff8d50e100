// Stem, gradWeight: dweight[k, tap] = sum over pixels of dy[k, pixel] * x[tap's shift of pixel].
// x is unfolded into columns [taps, kPixels] for a chunk of pixels (taps run over C, R, S); then a tile of
// taps x two output blocks stays in registers while the pixels go by: one dy vector per block, one broadcast
// per tap.
//
// The chunks are cut into a number of ranges that follows from the problem alone. Their partial sums
// [ranges, K/W, taps, lanes] are added in order, so results do not depend on the number of threads.
#include "ops/conv2d/conv2d.taps.h"
#include "ops/conv2d/stem.kernels.h"

namespace groupconv {
namespace {

constexpr int64_t kPixels = 112;    // 7 cache lines per tap: the taps of a tile do not collide in L1
constexpr int64_t kMaxReach = 512;  // elements beyond them that a kernel row reads
constexpr int64_t kMaxRanges = 64;
constexpr int64_t kMinChunks = 4;  // per range

int64_t image_chunks(const Conv2dProblem& p) { return ceil_div(int64_t{p.p} * p.q, kPixels); }
int64_t chunk_ranges(const Conv2dProblem& p) {
  return min_of(kMaxRanges, ceil_div(p.n * image_chunks(p), kMinChunks));
}

// Copies every Stride-th value; a Stride of 0 is known only at run time.
template <int Stride>
void copy_strided(const Element* in, int64_t stride, Element* out, int64_t count) {
  for (int64_t i = 0; i < count; ++i) out[i] = in[i * (Stride ? Stride : stride)];
}

// line[i] <- x_row[(first + i) * stride + left]; zero outside, and everywhere where there is no row.
void unfold_row(const Conv2dProblem& p, const Element* x_row, int64_t left, int64_t first, int64_t count,
                Element* line) {
  const int64_t stride = p.stride_w;
  const int64_t inside = left < 0 ? ceil_div(-left, stride) : 0,
                outside = x_row && p.w > left ? (p.w - left - 1) / stride + 1 : 0;
  const int64_t begin = min_of(count, max_of(0, inside - first)),
                end = max_of(begin, min_of(count, outside - first));
  for (int64_t i = 0; i < begin; ++i) line[i] = Element(0);
  if (end > begin) {
    const Element* in = x_row + (first + begin) * stride + left;
    if (stride == 1)
      copy_elements(in, line + begin, end - begin);
    else if (stride == 2)
      copy_strided<2>(in, 2, line + begin, end - begin);
    else
      copy_strided<0>(in, stride, line + begin, end - begin);
  }
  for (int64_t i = end; i < count; ++i) line[i] = Element(0);
}

// A kernel column reads every stride-th value of x, beginning with value `phase` of the padded row, shifted
// by `shift`.
struct Shifts {
  int64_t phase[kMaxTaps], shift[kMaxTaps];
  int64_t reach;  // the largest shift
};
Shifts shifts_of(const Conv2dProblem& p) {
  Shifts shifts{};
  for (int64_t s = 0; s < p.s; ++s) {
    shifts.phase[s] = s * p.dilation_w % p.stride_w;
    shifts.shift[s] = shifts.reach = s * p.dilation_w / p.stride_w;
  }
  return shifts;
}

// columns [C, R, S, kPixels] <- x [C, H, W] for `pixels` of [P, Q]. Borders are dealt with once per phase of
// the stride, in `line`; the columns of that phase are copies of it.
void unfold(const Conv2dProblem& p, const Element* x, Range pixels, Element* columns) {
  alignas(64) Element line[kPixels + kMaxReach];
  const Shifts shifts = shifts_of(p);
  for (int64_t pixel = pixels.begin; pixel < pixels.end;) {
    const int64_t row = pixel / p.q, q = pixel % p.q, count = min_of(p.q - q, pixels.end - pixel);
    Element* out = columns + (pixel - pixels.begin);
    for (int64_t c = 0; c < p.c; ++c)
      for (int64_t r = 0; r < p.r; ++r, out += p.s * kPixels) {
        const int64_t h = row * p.stride_h + r * p.dilation_h - p.pad_top;
        const Element* x_row = h >= 0 && h < p.h ? x + (c * p.h + h) * p.w : nullptr;
        for (int64_t phase = 0; phase < p.stride_w; ++phase) {
          unfold_row(p, x_row, phase - p.pad_left, q, count + shifts.reach, line);
          for (int64_t s = 0; s < p.s; ++s)
            if (shifts.phase[s] == phase) copy_elements(line + shifts.shift[s], out + s * kPixels, count);
        }
      }
    pixel += count;
  }
}

struct TapTile {
  const Element *columns, *dy;  // [taps, kPixels], [pixels, lanes]
  int64_t dy_block, pixels;
  float* sums;  // [taps, lanes]
  int64_t sums_block;
  bool first;  // overwrite sums
};

template <int Width, int Blocks, class Block>
GROUPCONV_KERNEL void tap_tile(const TapTile& tile) {
  typedef typename Block::Lanes Lanes;
  const auto load_lanes = [](const auto* from) GROUPCONV_INLINE_LAMBDA { return Block::load(from); };
  Lanes sums[Blocks][Width];
  GROUPCONV_UNROLL
  for (int block = 0; block < Blocks; ++block) GROUPCONV_UNROLL
  for (int tap = 0; tap < Width; ++tap)
    sums[block][tap] = tile.first ? Lanes{} : load_lanes(tile.sums + block * tile.sums_block + tap * W);
  const Element *columns = tile.columns, *dy = tile.dy;
  const int64_t dy_block = tile.dy_block;
#pragma GCC unroll 1
  for (int64_t pixel = tile.pixels; pixel > 0; --pixel, ++columns, dy += W) {
    Lanes gradients[Blocks];
    GROUPCONV_UNROLL
    for (int block = 0; block < Blocks; ++block) gradients[block] = load_lanes(dy + block * dy_block);
    GROUPCONV_UNROLL
    for (int tap = 0; tap < Width; ++tap) {
      const Lanes input = float(columns[tap * kPixels]) - Lanes{};
      GROUPCONV_UNROLL
      for (int block = 0; block < Blocks; ++block) sums[block][tap] += input * gradients[block];
    }
  }
  GROUPCONV_UNROLL
  for (int block = 0; block < Blocks; ++block) GROUPCONV_UNROLL
  for (int tap = 0; tap < Width; ++tap)
    store(tile.sums + block * tile.sums_block + tap * W, Block::widen(sums[block][tap]));
}

// One chunk of pixels of image n into partial sums. Tap tiles are padded to whole ones: see padded_taps.
int64_t padded_taps(const Conv2dProblem& p) { return max_of(stem_taps(p), kTilePixels / 2); }

void add_chunk(const Conv2dProblem& p, const Conv2dBuffers& b, int64_t n, Range pixels, Element* columns,
               float* sums, bool first) {
  const int64_t blocks = ceil_div(p.k, W), taps = stem_taps(p), area = int64_t{p.p} * p.q;
  const int64_t stride = padded_taps(p) * W, parts = ceil_div(taps, kTilePixels);
  unfold(p, elements(b.x) + n * p.c * p.h * p.w, pixels, columns);
  for (int64_t block = 0; block < blocks; block += tile_blocks(block, p.k))
    for (int64_t i = 0; i < parts; ++i) {
      const Range range = part(taps, i, parts);
      const TapTile tile{columns + range.begin * kPixels,
                         elements(b.dy) + ((n * blocks + block) * area + pixels.begin) * W,
                         area * W,
                         pixels.end - pixels.begin,
                         sums + block * stride + range.begin * W,
                         stride,
                         first};
      with_tile_blocks(block, p.k, [&](auto count, auto lanes) GROUPCONV_INLINE_LAMBDA {
        with_tile_width(tile_width(range.end - range.begin), [&](auto width) GROUPCONV_INLINE_LAMBDA {
          tap_tile<width.value, count.value, decltype(lanes)>(tile);
        });
      });
    }
}

int64_t range_size(const Conv2dProblem& p) { return padded_taps(p) * (kPixels + ceil_div(p.k, W) * W); }

bool accepts(const Conv2dProblem& p) {
  return p.pass == Conv2dPass::GradWeight && is_stem(p) && p.s <= kMaxTaps &&
         int64_t{p.s - 1} * p.dilation_w / p.stride_w <= kMaxReach;
}

size_t workspace_bytes(const Conv2dProblem& p) { return chunk_ranges(p) * range_size(p) * sizeof(float); }

void run(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  const int64_t blocks = ceil_div(p.k, W), taps = stem_taps(p), padded = padded_taps(p),
                ranges = chunk_ranges(p);
  const int64_t chunks = image_chunks(p), area = int64_t{p.p} * p.q;
  // Columns [ranges][padded taps, kPixels] in room for as many floats, then sums [ranges][K/W, padded taps,
  // W].
  float* workspace = static_cast<float*>(b.workspace);
  float* partial = workspace + ranges * padded * kPixels;
  parallel(context, [&](int thread, int threads) {
    const Range mine = share(ranges, thread, threads);
    Element* columns =
        elements(workspace) + mine.begin * padded * kPixels;  // one for all of them: it stays in L2
    if (mine.begin < mine.end)
      for (int64_t i = taps * kPixels; i < padded * kPixels; ++i) columns[i] = Element(0);
    for (int64_t range = mine.begin; range < mine.end; ++range) {
      const Range work = part(p.n * chunks, range, ranges);
      for (int64_t i = work.begin; i < work.end; ++i)
        add_chunk(p, b, i / chunks, part(area, i % chunks, chunks), columns,
                  partial + range * blocks * padded * W, i == work.begin);
    }
  });
  add_stem_ranges(p, partial, ranges, blocks * padded * W, padded * W, b.dweight, context);
}

constexpr Conv2dSolver solvers[] = {{"stem", accepts, run, workspace_bytes}};

}  // namespace

namespace GROUPCONV_ISA {
extern const Conv2dTable conv2d_stem_grad_weight = {solvers, 1};
}

}  // namespace groupconv
