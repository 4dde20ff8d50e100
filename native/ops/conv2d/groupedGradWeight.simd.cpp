// gradWeight of a grouped 3x3 convolution with as many channels out as in. Activations N C/W H W lanes.
//
//   dweight[k, c, r, s] = sum over n, p, q of
//                         dy[n, k, p, q] * x[n, c, p * stride + r - pad_top, q * stride + s - pad_left]
//
// A lane is an input channel. For one kernel row r, sums[3 kernel columns][output channels] stay in registers
// over all pixels of a patch, which is as many rows (or whole images) as L1 holds: per output column one
// vector of dy, whose lanes are swapped (vectors of whole groups: at mask m, lane l meets output channel l ^
// m) or broadcast, meets three vectors of x. Threads share pairs of channel blocks and their kernel rows,
// never pixels: no sum depends on them.
#include "cpu/context.h"
#include "ops/conv2d/groupedShapes.kernels.h"

namespace groupconv {
namespace {

constexpr int64_t kPatchBytes = 20 << 10;      // of x and dy, in an L1 of 32 KB or more
constexpr int kMostOutputs = W == 16 ? 8 : 4;  // 3 sums each: 24 of 32 registers, 12 of 16

struct Patch {
  const float *x, *dy;        // the first row's column 0: x[row + r], dy[row]
  int64_t x_image, dy_image;  // strides, in floats
  int64_t x_row, dy_row;
  int images, rows, columns;          // of dy
  int stride, pad_left, width;        // width of x
  int inner_begin, inner_end;         // columns of dy whose three columns of x are inside the image
  const float *x_ahead, *dy_ahead;    // to fetch into the cache meanwhile
  int x_ahead_lines, dy_ahead_lines;  // of 64 bytes per row
  float* sums;                        // [3 kernel columns, outputs, lanes]
  bool first;                         // overwrite the sums
};
using PatchKernel = void (*)(const Patch&);

// body(o, dy's vector for output o).
template <bool Shared, int Outputs, class Body>
GROUPCONV_INLINE void each_output(const float* dy, const Body& body) {
  if constexpr (Shared) {
    const Vec v = load(dy);
    each<Outputs>([&](auto o) GROUPCONV_INLINE_LAMBDA { body(o, xor_lanes<o.value>(v)); });
  } else {
    each<Outputs>([&](auto o) GROUPCONV_INLINE_LAMBDA { body(o, broadcast(dy[o.value])); });
  }
}

template <bool Shared, int Outputs>
GROUPCONV_KERNEL void run_patch(const Patch& p) {
  Vec sums[3][Outputs];
  each<3 * Outputs>([&](auto i) GROUPCONV_INLINE_LAMBDA {
    sums[i.value / Outputs][i.value % Outputs] = p.first ? zero() : load(p.sums + i.value * W);
  });
  const float *x_ahead = p.x_ahead, *dy_ahead = p.dy_ahead;
  for (int image = 0; image < p.images; ++image)
    for (int row = 0; row < p.rows; ++row) {
      for (int line = 0; line < p.x_ahead_lines; ++line, x_ahead += 16) __builtin_prefetch(x_ahead);
      for (int line = 0; line < p.dy_ahead_lines; ++line, dy_ahead += 16) __builtin_prefetch(dy_ahead);
      const float* dy = p.dy + image * p.dy_image + row * p.dy_row;
      const float* x = p.x + image * p.x_image + row * p.x_row - int64_t{p.pad_left} * W;
      for (int q = 0; q < p.columns; ++q, dy += W, x += p.stride * W) {
        if (q >= p.inner_begin && q < p.inner_end) {
          const Vec inputs[3] = {load(x), load(x + W), load(x + 2 * W)};
          each_output<Shared, Outputs>(dy, [&](auto o, Vec output) GROUPCONV_INLINE_LAMBDA {
            each<3>([&](auto s)
                        GROUPCONV_INLINE_LAMBDA { sums[s.value][o.value] += output * inputs[s.value]; });
          });
        } else {
          each<3>([&](auto s) GROUPCONV_INLINE_LAMBDA {
            const int column = q * p.stride - p.pad_left + s.value;
            if (column < 0 || column >= p.width) return;
            const Vec input = load(x + s.value * W);
            each_output<Shared, Outputs>(dy, [&](auto o, Vec output) GROUPCONV_INLINE_LAMBDA {
              sums[s.value][o.value] += output * input;
            });
          });
        }
      }
    }
  each<3 * Outputs>([&](auto i) GROUPCONV_INLINE_LAMBDA {
    store(p.sums + i.value * W, sums[i.value / Outputs][i.value % Outputs]);
  });
}

// A pair is an output block and one of its group's input blocks. Its sums: [kernel row, chunk, kernel column,
// output of the chunk, lanes].
struct Layout {
  int64_t per_group, blocks, group_blocks, pairs, outputs;
  bool shared;
  int chunk, chunks;
  PatchKernel kernel;
  explicit Layout(const Conv2dProblem& p)
      : per_group(p.channels_per_group()),
        blocks(ceil_div(p.c, W)),
        group_blocks(max_of(1, per_group / W)),
        pairs(blocks * group_blocks),
        outputs(min_of(per_group, W)),
        shared(groups_share_vectors(per_group)),
        chunk(static_cast<int>(min_of(outputs, kMostOutputs))),
        chunks(static_cast<int>(outputs / chunk)) {
    kernel = !shared      ? run_patch<false, kMostOutputs>
             : chunk == 2 ? run_patch<true, 2>
             : chunk == 4 ? run_patch<true, 4>
                          : run_patch<true, kMostOutputs>;
  }
  int64_t row_sums() const { return 3 * outputs * W; }  // floats of one kernel row
};

// Rows p with 0 <= p * stride + r - pad_top < h, within [begin, end).
Range rows_inside(const Conv2dProblem& p, int r, int64_t begin, int64_t end) {
  const int64_t first = ceil_div(max_of(0, p.pad_top - r), p.stride_h);
  const int64_t last = p.h - 1 + p.pad_top - r;
  return {max_of(begin, first), min_of(end, last < 0 ? 0 : last / p.stride_h + 1)};
}

// The sums of kernel rows [first_row, end_row) of one pair, over all images.
void sum_pair(const Conv2dProblem& p, const Conv2dBuffers& b, const Layout& layout, int64_t pair,
              int first_row, int end_row, float* sums) {
  const int64_t out_block = pair / layout.group_blocks;
  const int64_t in_block = out_block / layout.group_blocks * layout.group_blocks + pair % layout.group_blocks;
  const int64_t x_row = int64_t{p.w} * W, dy_row = int64_t{p.q} * W;
  const int64_t row_bytes = (p.stride_h * x_row + dy_row) * 4;
  const int64_t rows = min_of(p.p, max_of(1, kPatchBytes / row_bytes));
  const int64_t images = rows < p.p ? 1 : max_of(1, kPatchBytes / (row_bytes * p.p));

  Patch patch{};
  patch.x_image = layout.blocks * p.h * x_row;
  patch.dy_image = layout.blocks * p.p * dy_row;
  patch.x_row = p.stride_h * x_row;
  patch.dy_row = dy_row;
  patch.columns = p.q;
  patch.stride = p.stride_w;
  patch.pad_left = p.pad_left;
  patch.width = p.w;
  patch.inner_begin = static_cast<int>(ceil_div(p.pad_left, p.stride_w));
  patch.inner_end =
      static_cast<int>(min_of(p.q, p.w + p.pad_left < 3 ? 0 : (p.w + p.pad_left - 3) / p.stride_w + 1));
  // While one patch is summed, the next one is fetched; every kernel call fetches its share of it.
  const int64_t calls = (end_row - first_row) * layout.chunks;
  patch.x_ahead_lines = images > 1 ? 0 : static_cast<int>(ceil_div(patch.x_row, calls * 16));
  patch.dy_ahead_lines = images > 1 ? 0 : static_cast<int>(ceil_div(patch.dy_row, calls * 16));
  for (int64_t image = 0; image < p.n; image += images)
    for (int64_t row = 0; row < p.p; row += rows) {
      const bool same_image = row + rows < p.p, more = image + images < p.n;
      const int64_t next_row = same_image ? row + rows : 0,
                    next_image = same_image || !more ? image : image + images;
      const int64_t next_pair = same_image || more ? 0 : 1;  // neighbouring blocks, or close enough
      const float* x_ahead =
          b.x + next_image * patch.x_image + ((in_block + next_pair) * p.h + next_row * p.stride_h) * x_row;
      const float* dy_ahead =
          b.dy + next_image * patch.dy_image + ((out_block + next_pair) * p.p + next_row) * dy_row;
      for (int r = first_row; r < end_row; ++r) {
        const Range inside = rows_inside(p, r, row, min_of(p.p, row + rows));
        patch.images = static_cast<int>(min_of(images, p.n - image));
        patch.rows = static_cast<int>(max_of(0, inside.end - inside.begin));
        patch.first = image == 0 && row == 0;
        const int64_t x_begin = inside.begin * p.stride_h + r - p.pad_top;
        for (int chunk = 0; chunk < layout.chunks; ++chunk) {
          patch.x = b.x + image * patch.x_image + (in_block * p.h + x_begin) * x_row;
          patch.dy = b.dy + image * patch.dy_image + (out_block * p.p + inside.begin) * dy_row +
                     chunk * layout.chunk;
          patch.x_ahead = x_ahead, patch.dy_ahead = dy_ahead;
          x_ahead += int64_t{rows} * patch.x_ahead_lines * 16;
          dy_ahead += int64_t{rows} * patch.dy_ahead_lines * 16;
          patch.sums = sums + r * layout.row_sums() + chunk * 3 * layout.chunk * W;
          layout.kernel(patch);
        }
      }
    }
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

// Row-major dweight[k, c, r, s] of one pair: four lanes at a time, whose runs of 9 may lie anywhere.
template <bool Accumulate>
void unpack(const Conv2dProblem& p, const Layout& layout, int64_t pair, const float* sums, float* dweight) {
  const int64_t out_block = pair / layout.group_blocks, in_block = pair % layout.group_blocks;
  const int64_t tap_stride = layout.chunk * W, first_input = in_block * W;
  for (int64_t o = 0; o < layout.outputs; ++o) {
    const float* outputs = sums + o / layout.chunk * 3 * tap_stride + o % layout.chunk * W;
    for (int64_t lane = 0; lane < W; lane += 4) {
      const float* from = outputs + lane;
      Quad taps[9];
      GROUPCONV_UNROLL
      for (int tap = 0; tap < 9; ++tap)
        taps[tap] = *reinterpret_cast<const Quad*>(from + tap / 3 * layout.row_sums() + tap % 3 * tap_stride);
      transpose(taps[0], taps[1], taps[2], taps[3]);
      transpose(taps[4], taps[5], taps[6], taps[7]);
      GROUPCONV_UNROLL
      for (int i = 0; i < 4; ++i) {
        const int64_t k = out_block * W + (layout.shared ? (lane + i) ^ o : o);
        if (k >= p.k) continue;
        const int64_t c = layout.shared ? (lane + i) & (layout.per_group - 1) : first_input + lane + i;
        float* to = dweight + (k * layout.per_group + c) * 9;
        Quad* quads = reinterpret_cast<Quad*>(to);
        quads[0] = Accumulate ? quads[0] + taps[i] : taps[i];
        quads[1] = Accumulate ? quads[1] + taps[4 + i] : taps[4 + i];
        to[8] = Accumulate ? to[8] + taps[8][i] : taps[8][i];
      }
    }
  }
}

// Every part takes a contiguous run of (pair, kernel row). It unpacks the pairs that it has whole at once,
// from one place that stays in cache; those that the cut divided are unpacked once all parts are done.
void grad_weight(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  const Layout layout(p);
  const int parts = static_cast<const CpuContext&>(context).threads;
  const auto place = [&](int64_t pair) {
    return static_cast<float*>(b.workspace) + pair * 3 * layout.row_sums();
  };
  const auto unpack_pair = [&](int64_t pair, const float* sums) {
    if (p.accumulate)
      unpack<true>(p, layout, pair, sums, b.dweight);
    else
      unpack<false>(p, layout, pair, sums, b.dweight);
  };
  parallel_for(context, parts, [&](int64_t part) {
    const Range range = share(layout.pairs * 3, static_cast<int>(part), parts);
    for (int64_t i = range.begin; i < range.end;) {
      const int64_t pair = i / 3, row = i % 3, end = min_of(3, row + range.end - i);
      const bool whole = end - row == 3;
      float* sums = place(whole ? ceil_div(range.begin, 3) : pair);
      sum_pair(p, b, layout, pair, static_cast<int>(row), static_cast<int>(end), sums);
      if (whole) unpack_pair(pair, sums);
      i += end - row;
    }
  });
  if (layout.pairs % parts == 0) return;  // no pair is divided
  parallel_for(context, parts, [&](int64_t part) {
    const Range range = share(layout.pairs * 3, static_cast<int>(part), parts);
    const int64_t last = range.end / 3;
    if (range.end % 3 != 0 && last * 3 >= range.begin) unpack_pair(last, place(last));
  });
}

size_t workspace_bytes(const Conv2dProblem& p) {
  const Layout layout(p);
  return static_cast<size_t>(layout.pairs * 3 * layout.row_sums()) * sizeof(float);
}

constexpr Conv2dSolver solvers[] = {
    {"grouped3x3",
     [](const Conv2dProblem& p) { return p.pass == Conv2dPass::GradWeight && is_grouped3x3(p); }, grad_weight,
     workspace_bytes},
};

}  // namespace

namespace GROUPCONV_ISA {
extern const Conv2dTable conv2d_grouped_grad_weight = {solvers, 1};
}

}  // namespace groupconv
