// gradWeight of grouped 3x3 and 5x5 convolutions. Activations N C/W H W lanes.
//
//   dweight[k, c, r, s] = sum over n, p, q of dy[n, k, p, q] *
//       x[n, c, p * stride + r * dilation - pad_top, q * stride + s * dilation - pad_left]
//
// A lane is an input channel. For one kernel row r, sums[3 kernel columns][output channels] stay in registers
// over all pixels of a patch, which is as many rows (or whole images) as L1 holds: per output column one
// vector of dy, whose lanes are swapped (at mask m, lane l meets output channel l ^ m), shuffled from two
// blocks, or broadcast, meets the vectors of x of one kernel row. Threads share pairs of channel blocks and
// their kernel rows, never pixels: no sum depends on them.
#include "cpu/context.h"
#include "ops/conv2d/groupedPatch.kernels.h"
#include "ops/conv2d/groupedRows.kernels.h"

namespace groupconv {
namespace {

constexpr int64_t kPatchBytes = 20 << 10;  // of x and dy, in an L1 of 32 KB or more

// Swaps are by constants, and so for one chunk only.
Join patch_join(const Conv2dProblem& p) {
  const Join join = join_of(p);
  return join == Join::Swap && p.channels_per_group() > most_outputs(join, p.s) ? Join::Shuffle : join;
}

// A pair is a block of inputs (lanes) and one of the outputs that meet it, which with Shuffle come from
// several blocks. Its sums: [kernel row, chunk, kernel column, output of the chunk, lanes].
struct Layout {
  Join join;
  int64_t in_per_group, out_per_group, in_blocks, out_blocks;
  int64_t group_in, group_out;  // blocks of a group that fills vectors, else 1
  int64_t pairs, taps, columns, row_sums;
  Patterns patterns;
  bool rows_first;  // Shuffle: dy is shuffled before
  const PatchKernel* kernels;

  explicit Layout(const Conv2dProblem& p)
      : join(patch_join(p)),
        in_per_group(p.channels_per_group()),
        out_per_group(p.outputs_per_group()),
        in_blocks(ceil_div(p.c, W)),
        out_blocks(ceil_div(p.k, W)),
        group_in(join == Join::Broadcast ? ceil_div(in_per_group, W) : 1),
        group_out(join == Join::Broadcast ? ceil_div(out_per_group, W) : 1),
        pairs(out_blocks * group_in),
        taps(int64_t{p.r} * p.s),
        columns(p.s),
        row_sums(columns * W * (join == Join::Shuffle ? most_steps(in_per_group) : W)),
        patterns(p.c, in_per_group),
        rows_first(join == Join::Shuffle && shuffles_rows_first(p, p.q, 1)) {
    kernels = join == Join::Broadcast ? patch_kernels<Join::Broadcast>(columns)
                                      : patch_kernels<Join::Swap>(columns);
    if constexpr (kShufflesLanes)
      if (join == Join::Shuffle) kernels = patch_kernels<Join::Shuffle>(columns);
    if constexpr (kShufflesRowsFirst)
      if (rows_first) kernels = patch_kernels<Join::Shuffled>(columns);
  }
  int64_t out_block(int64_t pair) const { return pair / group_in; }
  int64_t in_block(int64_t pair) const { return out_block(pair) / group_out * group_in + pair % group_in; }
  size_t patterns_bytes() const { return join == Join::Shuffle ? patterns.bytes() : 0; }
  int64_t sums_size() const { return taps / columns * row_sums; }  // floats of a pair
};

// How the outputs of one pair are cut into chunks, the first `wide` of them one output wider.
struct Chunks {
  int64_t outputs, count, width, wide;
  const PatternStep* steps;
  Chunks(const Layout& layout, int64_t pair, const void* patterns) : steps(nullptr) {
    outputs = layout.join == Join::Swap
                  ? layout.in_per_group
                  : min_of(W, layout.out_per_group - layout.out_block(pair) % layout.group_out * W);
    if (layout.join == Join::Shuffle) {
      steps = layout.patterns.of(layout.in_block(pair), patterns);
      outputs = steps->count;
    }
    count = ceil_div(outputs, most_outputs(layout.join, static_cast<int>(layout.columns)));
    width = outputs / count, wide = outputs % count;
  }
  int64_t first(int64_t chunk) const { return chunk * width + min_of(chunk, wide); }
  int64_t width_of(int64_t chunk) const { return width + (chunk < wide); }
};

// Rows p with 0 <= p * stride + r * dilation - pad_top < h, within [begin, end).
Range rows_inside(const Conv2dProblem& p, int r, int64_t begin, int64_t end) {
  const int64_t up = p.pad_top - int64_t{r} * p.dilation_h, last = p.h - 1 + up;
  const int64_t first = ceil_div(max_of(0, up), p.stride_h);
  return {max_of(begin, first), min_of(end, last < 0 ? 0 : last / p.stride_h + 1)};
}

// The sums of kernel rows [first_row, end_row) of one pair, over all images. `window`: for shuffled rows.
void sum_pair(const Conv2dProblem& p, const Conv2dBuffers& b, const Layout& layout, int64_t pair,
              int first_row, int end_row, float* sums, Element* window) {
  const Chunks chunks(layout, pair, b.workspace);
  const int64_t in_block = layout.in_block(pair), out_block = layout.out_block(pair);
  const int64_t x_row = int64_t{p.w} * W, dy_row = int64_t{p.q} * W;
  const int64_t dy_blocks = window ? chunks.outputs : layout.join == Join::Shuffle ? 3 : 1;  // mostly 2 or 3
  const int64_t row_bytes = (p.stride_h * x_row + dy_blocks * dy_row) * kElementBytes;
  const int64_t rows = min_of(p.p, max_of(1, kPatchBytes / row_bytes));
  const int64_t images = rows < p.p ? 1 : max_of(1, kPatchBytes / (row_bytes * p.p));

  Patch patch{};
  patch.x_image = layout.in_blocks * p.h * x_row;
  patch.dy_image = layout.out_blocks * p.p * dy_row;
  patch.x_row = p.stride_h * x_row;
  patch.dy_row = dy_row;
  patch.x_tap = int64_t{p.dilation_w} * W;
  patch.dy_block = p.p * dy_row;
  const int64_t dy_image = patch.dy_image, dy_block = patch.dy_block;
  if (window) patch.dy_image = rows * dy_row, patch.dy_block = images * patch.dy_image;  // [step, image, row]
  patch.columns = p.q;
  patch.stride = p.stride_w;
  patch.dilation = p.dilation_w;
  patch.pad_left = p.pad_left;
  patch.width = p.w;
  patch.inner_begin = static_cast<int>(ceil_div(p.pad_left, p.stride_w));
  const int last = p.w + p.pad_left - 1 - (p.s - 1) * p.dilation_w;  // the last inner column begins here
  patch.inner_end = static_cast<int>(min_of(p.q, last < 0 ? 0 : last / p.stride_w + 1));
  // While one patch is summed, the next one is fetched; every kernel call fetches its share of it.
  const int64_t calls = (end_row - first_row) * chunks.count;
  patch.x_ahead_lines = images > 1 ? 0 : static_cast<int>(ceil_div(patch.x_row, calls * kLine));
  patch.dy_ahead_lines = images > 1 ? 0 : static_cast<int>(ceil_div(patch.dy_row, calls * kLine));
  for (int64_t image = 0; image < p.n; image += images)
    for (int64_t row = 0; row < p.p; row += rows) {
      const bool same_image = row + rows < p.p, more = image + images < p.n;
      const int64_t next_row = same_image ? row + rows : 0,
                    next_image = same_image || !more ? image : image + images;
      const int64_t next_pair = same_image || more ? 0 : 1;  // neighbouring blocks, or close enough
      const Element* x_ahead = elements(b.x) + next_image * patch.x_image +
                               ((in_block + next_pair) * p.h + next_row * p.stride_h) * x_row;
      const Element* dy_ahead =
          elements(b.dy) + next_image * dy_image + ((out_block + next_pair) * p.p + next_row) * dy_row;
      const Element* dy = elements(b.dy) + image * dy_image + (out_block * p.p + row) * dy_row;
      for (int64_t i = 0; window && i < min_of(images, p.n - image); ++i)
        for (int64_t j = 0; j < min_of(rows, p.p - row); ++j)
          shuffle_row(chunks.steps, dy + i * dy_image + j * dy_row, dy_block, dy_row,
                      window + i * patch.dy_image + j * dy_row, patch.dy_block);
      for (int r = first_row; r < end_row; ++r) {
        const Range inside = rows_inside(p, r, row, min_of(p.p, row + rows));
        patch.images = static_cast<int>(min_of(images, p.n - image));
        patch.rows = static_cast<int>(max_of(0, inside.end - inside.begin));
        patch.first = image == 0 && row == 0;
        const int64_t x_begin = inside.begin * p.stride_h + r * p.dilation_h - p.pad_top;
        for (int64_t chunk = 0; chunk < chunks.count; ++chunk) {
          const int64_t output = chunks.first(chunk);
          patch.x = elements(b.x) + image * patch.x_image + (in_block * p.h + x_begin) * x_row;
          patch.dy = (window ? window : dy) + (inside.begin - row) * dy_row;
          if (window)
            patch.dy += output * patch.dy_block;
          else if (chunks.steps)
            patch.steps = chunks.steps + output;
          else
            patch.dy += output;
          patch.x_ahead = x_ahead, patch.dy_ahead = dy_ahead;
          x_ahead += int64_t{rows} * patch.x_ahead_lines * kLine;
          dy_ahead += int64_t{rows} * patch.dy_ahead_lines * kLine;
          patch.sums = sums + r * layout.row_sums + output * layout.columns * W;
          layout.kernels[chunks.width_of(chunk) - 1](patch);
        }
      }
    }
}

void sum_pair(const Conv2dProblem& p, const Conv2dBuffers& b, const Layout& layout, int64_t pair,
              int first_row, int end_row, float* sums) {
  if (!layout.rows_first) return sum_pair(p, b, layout, pair, first_row, end_row, sums, nullptr);
  alignas(64) Element window[kWindow];
  sum_pair(p, b, layout, pair, first_row, end_row, sums, window);
}

typedef float Quad __attribute__((vector_size(16), aligned(4), may_alias));

GROUPCONV_INLINE void transpose(Quad& a, Quad& b, Quad& c, Quad& d) {
  const Quad ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  const Quad ab2 = __builtin_shufflevector(a, b, 2, 6, 3, 7), cd2 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  a = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
  b = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
  c = __builtin_shufflevector(ab2, cd2, 0, 1, 4, 5);
  d = __builtin_shufflevector(ab2, cd2, 2, 3, 6, 7);
}

// Where the lanes of a pair's sums lie in dweight [K, C / groups, taps].
struct Places {
  int64_t first[W];  // with output 0 of the lane's group or block; -1: nowhere
  int64_t per_output;

  Places(const Conv2dProblem& p, const Layout& layout, int64_t pair) : per_output(layout.in_per_group) {
    for (int64_t lane = 0; lane < W; ++lane) {
      const int64_t in = layout.in_block(pair) * W + lane, group = in / per_output;
      const int64_t k =
          layout.join == Join::Shuffle ? group * layout.out_per_group : layout.out_block(pair) * W;
      first[lane] = in < p.c ? k * per_output + in - group * per_output : -1;
    }
  }
  // Of output (or step) o; negative: nowhere.
  GROUPCONV_INLINE int64_t of(const Layout& layout, const Chunks& chunks, int64_t o, int64_t lane) const {
    const int64_t output = layout.join == Join::Shuffle ? chunks.steps[o].channel[lane]
                           : layout.join == Join::Swap  ? lane ^ o
                                                        : o;
    return first[lane] < 0 || output < 0 ? -1 : first[lane] + output * per_output;
  }
};

// Row-major dweight[k, c, r, s] of one pair: four lanes at a time, whose runs of taps may lie anywhere.
template <bool Accumulate, int Taps>
void unpack(const Conv2dProblem& p, const Layout& layout, const void* patterns, int64_t pair,
            const float* sums, float* dweight) {
  constexpr int kColumns = Taps == 9 ? 3 : 5;
  const Chunks chunks(layout, pair, patterns);
  const Places places(p, layout, pair);
  for (int64_t chunk = 0; chunk < chunks.count; ++chunk) {
    const int64_t begin = chunks.first(chunk), width = chunks.width_of(chunk), tap_stride = width * W;
    for (int64_t o = begin; o < begin + width; ++o)
      for (int64_t lane = 0; lane < W; lane += 4) {
        const float* from = sums + (begin * kColumns + o - begin) * W + lane;
        Quad taps[Taps];
        GROUPCONV_UNROLL
        for (int tap = 0; tap < Taps; ++tap)
          taps[tap] = *reinterpret_cast<const Quad*>(from + tap / kColumns * layout.row_sums +
                                                     tap % kColumns * tap_stride);
        GROUPCONV_UNROLL
        for (int tap = 0; tap + 4 <= Taps; tap += 4)
          transpose(taps[tap], taps[tap + 1], taps[tap + 2], taps[tap + 3]);
        GROUPCONV_UNROLL
        for (int i = 0; i < 4; ++i) {
          const int64_t place = places.of(layout, chunks, o, lane + i);
          if (place < 0) continue;
          float* to = dweight + place * Taps;
          GROUPCONV_UNROLL
          for (int tap = 0; tap + 4 <= Taps; tap += 4) {
            Quad* quad = reinterpret_cast<Quad*>(to + tap);
            *quad = Accumulate ? *quad + taps[tap + i] : taps[tap + i];
          }
          to[Taps - 1] = Accumulate ? to[Taps - 1] + taps[Taps - 1][i] : taps[Taps - 1][i];
        }
      }
  }
}

using Unpack = void (*)(const Conv2dProblem&, const Layout&, const void*, int64_t, const float*, float*);
Unpack unpack_of(const Conv2dProblem& p) {
  if (p.s == 3) return p.accumulate ? unpack<true, 9> : unpack<false, 9>;
  return p.accumulate ? unpack<true, 25> : unpack<false, 25>;
}

// Every part takes a contiguous run of (pair, kernel row). It unpacks the pairs that it has whole at once,
// from one place that stays in cache; those that the cut divided are unpacked once all parts are done.
// Workspace: patterns, then sums.
void grad_weight(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  const Layout layout(p);
  const int parts = static_cast<const CpuContext&>(context).threads;
  const Unpack unpack = unpack_of(p);
  if (layout.join == Join::Shuffle) layout.patterns.make(b.workspace);
  const auto place = [&](int64_t pair) {
    return static_cast<float*>(b.workspace) + layout.patterns_bytes() / sizeof(float) +
           pair * layout.sums_size();
  };
  parallel_for(context, parts, [&](int64_t part) {
    const Range range = share(layout.pairs * p.r, static_cast<int>(part), parts);
    for (int64_t i = range.begin; i < range.end;) {
      const int64_t pair = i / p.r, row = i % p.r, end = min_of(p.r, row + range.end - i);
      const bool whole = end - row == p.r;
      float* sums = place(whole ? ceil_div(range.begin, p.r) : pair);
      sum_pair(p, b, layout, pair, static_cast<int>(row), static_cast<int>(end), sums);
      if (whole) unpack(p, layout, b.workspace, pair, sums, b.dweight);
      i += end - row;
    }
  });
  if (layout.pairs % parts == 0) return;  // no pair is divided
  parallel_for(context, parts, [&](int64_t part) {
    const Range range = share(layout.pairs * p.r, static_cast<int>(part), parts);
    const int64_t last = range.end / p.r;
    if (range.end % p.r != 0 && last * p.r >= range.begin)
      unpack(p, layout, b.workspace, last, place(last), b.dweight);
  });
}

size_t workspace_bytes(const Conv2dProblem& p) {
  const Layout layout(p);
  return layout.patterns_bytes() + static_cast<size_t>(layout.pairs * layout.sums_size()) * sizeof(float);
}

// With 16 registers the tiles of `direct`, three blocks of inputs by four outputs, are better where enough
// pixels pay for a tile's sums (avx2, batch 8: conv4 96 instead of 91 % of the peak, conv5 93 instead of 87;
// batch 1: conv5 54 instead of 66).
bool prefers_outer_products(const Conv2dProblem& p) {
  constexpr int64_t kEnoughPixels = 256;
  return W == 8 && join_of(p) == Join::Broadcast && p.channels_per_group() >= 2 * W && p.stride_h == 1 &&
         int64_t{p.n} * p.p * p.q >= kEnoughPixels;
}
bool accepts3x3(const Conv2dProblem& p) {
  return p.pass == Conv2dPass::GradWeight && is_grouped3x3(p) && !prefers_outer_products(p) &&
         shuffles_pay(p, shuffles_rows_first(p, p.q, 1));
}
bool accepts5x5(const Conv2dProblem& p) {
  // Swaps in two chunks become shuffles: avx2, groups_of_4_5x5: 236 us, `direct` 172 us.
  const bool pays = W == 16 || p.r == 3 || join_of(p) != Join::Swap;
  return p.pass == Conv2dPass::GradWeight && is_grouped5x5(p) && pays &&
         shuffles_pay(p, shuffles_rows_first(p, p.q, 1)) && p.stride_h == p.stride_w;
}

constexpr Conv2dSolver solvers[] = {
    {"grouped3x3", accepts3x3, grad_weight, workspace_bytes},
    {"grouped5x5", accepts5x5, grad_weight, workspace_bytes},
};

}  // namespace

namespace GROUPCONV_ISA {
extern const Conv2dTable conv2d_grouped_grad_weight = {solvers, 2};
}

}  // namespace groupconv
