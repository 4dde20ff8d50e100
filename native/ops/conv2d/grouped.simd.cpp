// Grouped 3x3 convolution with as many channels out as in: forward and gradInput. Layout N C/W H W lanes.
//
// gradInput at stride 1 is the forward strip on dy with the kernel turned by 180 degrees, transposed, and
// padding 2 - padding; at stride 2, rows and columns of dx fall into phases by parity, each with its own
// kernel rows. Threads share output rows; no sum depends on how.
#include "ops/conv2d/groupedShapes.kernels.h"

#include "cpu/context.h"
#include "ops/conv2d/grouped.kernels.h"

namespace groupconv {
namespace {

// How tiles cover an output row: runs of tiles of one width, which differ by at most one, with kernels by
// width. An outermost output column that begins or ends two columns outside the image gets a tile of its own.
struct Cover {
  struct Run {
    StripKernel kernel;
    int tiles, width;
  } runs[4];
  int count = 0, tiles = 0;
  int cost = 0;

  Cover(const StripKernel* kernels, int columns, int most, int rows, bool left_alone, bool right_alone) {
    const auto add = [&](int more, int width) {
      if (more == 0) return;
      runs[count++] = {kernels[width - 1], more, width};
      tiles += more;
      cost += more * tile_cost(width * rows) * 2 / rows;
    };
    left_alone = left_alone && columns > 1;
    const int middle = columns - left_alone - right_alone, parts = static_cast<int>(ceil_div(middle, most));
    add(left_alone, 1);
    if (parts > 0) {
      add(middle % parts, middle / parts + 1);
      add(parts - middle % parts, middle / parts);
    }
    add(right_alone, 1);
  }
  // Half cycles for one input channel of one kernel row: two multiply-adds per cycle, or the latency of three
  // that depend on one another; and what the loops cost.
  static int tile_cost(int sums) { return static_cast<int>(max_of(3 * sums, 24)) + 2; }

  // The strip's fields are those of the row's first tile. Per column of width, a tile has `inputs` and
  // `sums`.
  void run(Strip strip, int inputs, int sums) const {
    const bool outside_left = strip.outside_left, outside_right = strip.outside_right;
    for (const Run* run = runs; run < runs + count; ++run) {
      const int64_t done = int64_t{run->tiles} * run->width;
      strip.tiles = run->tiles;
      strip.outside_left = outside_left && run == runs;
      strip.outside_right = outside_right && run == runs + count - 1;
      run->kernel(strip);
      strip.x += done * inputs * W;
      strip.column += static_cast<int>(done * inputs);
      strip.y += done * sums * W;
      if (strip.residual) strip.residual += done * sums * W;
      strip.ahead += int64_t{run->tiles} * strip.ahead_lines * 16;
    }
  }
};

// Channels of one group as the weights of one output block see them.
struct Layout {
  int64_t blocks, group_blocks;  // channel blocks; those of one group
  int64_t weight_size;           // prepared floats per output block
  bool shared;
  explicit Layout(const Conv2dProblem& p)
      : blocks(ceil_div(p.c, W)),
        group_blocks(max_of(1, p.channels_per_group() / W)),
        weight_size(9 * p.channels_per_group() * W),
        shared(groups_share_vectors(p.channels_per_group())) {}
  int64_t first_input(int64_t block) const { return block / group_blocks * group_blocks; }
  int64_t kernel_row() const { return shared ? 3 * W : 3 * W * W; }
  int depth(const Conv2dProblem& p) const {
    return static_cast<int>(shared ? p.channels_per_group() : group_blocks);
  }
};

// body(n, output block, rows): every row once, contiguous per thread.
template <class Body>
void for_rows(const ExecutionContext& context, int64_t n, int64_t blocks, int64_t rows, const Body& body) {
  parallel(context, [&](int thread, int threads) {
    const Range range = share(n * blocks * rows, thread, threads);
    for (int64_t i = range.begin; i < range.end;) {
      const int64_t plane = i / rows, row = i % rows, end = min_of(rows, row + range.end - i);
      body(plane / blocks, plane % blocks, Range{row, end});
      i += end - row;
    }
  });
}

// A 3x3 convolution with one stride and padding, whichever tensors it is between.
struct Geometry {
  int in_h, in_w, out_h, out_w, stride, pad_top, pad_left;
};

template <bool Shared>
Cover row_cover(const Geometry& g, int rows) {
  using One = SingleRow<Shared>;
  using Two = DoubleRow<Shared>;
  const StripKernel* kernels =
      g.stride == 1 ? (rows == 1 ? One::stride1 : Two::stride1) : (rows == 1 ? One::stride2 : Two::stride2);
  const int past = (g.out_w - 1) * g.stride - g.pad_left + 3 - g.in_w;  // columns taken beyond the right edge
  return Cover(kernels, g.out_w, kMostSums / rows, rows, g.pad_left == 2, past == 2);
}
Cover row_cover(const Conv2dProblem& p, const Geometry& g, int rows) {
  return groups_share_vectors(p.channels_per_group()) ? row_cover<true>(g, rows) : row_cover<false>(g, rows);
}

// Output rows in units of one, or of two from the first that lies inside the image on. Units are fixed,
// because the order of a sum depends on the shape of its tile: threads share units.
struct RowPlan {
  Cover single, paired;
  int64_t unit, shift;  // rows of a unit; the first unit lacks `shift` of them

  RowPlan(const Conv2dProblem& p, const Geometry& g)
      : single(row_cover(p, g, 1)), paired(row_cover(p, g, 2)) {
    // At stride 2, 16 registers spill in wide single rows: avx2, conv3: 75 instead of 80 % of the FMA peak.
    const int spills = g.stride == 2 && W == 8;
    unit = paired.cost < single.cost + spills ? 2 : 1;
    shift = ceil_div(g.pad_top, g.stride) % unit;
  }
  int64_t units(const Geometry& g) const { return ceil_div(g.out_h + shift, unit); }
  bool is_pair(const Geometry& g, int64_t row) const {
    const int64_t top = row * g.stride - g.pad_top;
    return unit == 2 && (row + shift) % 2 == 0 && row + 1 < g.out_h && top >= 0 &&
           top + g.stride + 3 <= g.in_h;
  }
};

// The output rows of some units of one plane. The strip's fields are those of output row 0, `plane` is the
// group's first input plane. With `fetch`, each unit fetches the input rows that only the next one takes; the
// last ones, the first rows of the next plane.
void convolve_units(const Geometry& g, const RowPlan& plan, const Strip& strip, const float* plane,
                    Range units, bool fetch) {
  const int64_t end = min_of(g.out_h, units.end * plan.unit - plan.shift);
  int64_t rows;
  for (int64_t row = max_of(0, units.begin * plan.unit - plan.shift); row < end; row += rows) {
    const bool pair = plan.is_pair(g, row);
    const Cover& cover = pair ? plan.paired : plan.single;
    rows = pair ? 2 : 1;
    const int64_t top = row * g.stride - g.pad_top;  // the input row of kernel row 0
    const int64_t tap = max_of(0, -top);             // the first kernel row taken
    Strip s = strip;
    s.taps = static_cast<int>(max_of(0, min_of(3, g.in_h - top) - tap));
    s.x = plane + (top + tap) * s.x_tap - int64_t{g.pad_left} * W;
    s.weight += tap * s.weight_tap;
    s.y += row * s.y_row;
    if (s.residual) s.residual += row * s.y_row;
    s.ahead = plane + (top + 3 + (rows - 1) * g.stride) * s.x_tap;
    s.ahead_lines = fetch ? static_cast<int>(ceil_div(rows * g.stride * s.x_tap, cover.tiles * 16)) : 0;
    cover.run(s, g.stride, 1);
  }
}

void convolve(const Conv2dProblem& p, const Geometry& g, const float* x, const float* weight, float* y,
              const float* bias, const float* residual, Activation activation,
              const ExecutionContext& context) {
  const Layout layout(p);
  const RowPlan plan(p, g);
  Strip strip{};
  strip.x_tap = int64_t{g.in_w} * W;
  strip.x_row = strip.x_tap * g.stride;
  strip.x_block = strip.x_tap * g.in_h;
  strip.weight_tap = layout.kernel_row();
  strip.depth = layout.depth(p);
  strip.column = -g.pad_left;
  strip.width = g.in_w;
  strip.y_row = int64_t{g.out_w} * W;
  strip.activation = activation;
  for_rows(context, p.n, layout.blocks, plan.units(g), [&](int64_t n, int64_t block, Range units) {
    const int64_t first_input = layout.first_input(block),
                  out = (n * layout.blocks + block) * g.out_h * strip.y_row;
    Strip s = strip;
    s.weight = weight + block * layout.weight_size;
    s.y = y + out;
    s.bias = bias ? bias + block * W : nullptr;
    s.residual = residual ? residual + out : nullptr;
    // Later blocks of a group find its input in cache.
    convolve_units(g, plan, s, x + (n * layout.blocks + first_input) * s.x_block, units,
                   block == first_input);
  });
}

void forward(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  convolve(p, {p.h, p.w, p.p, p.q, p.stride_h, p.pad_top, p.pad_left}, b.x, b.weight, b.y, b.bias, b.residual,
           p.activation, context);
}

void grad_input_stride1(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  convolve(p, {p.p, p.q, p.h, p.w, 1, 2 - p.pad_top, 2 - p.pad_left}, b.dy, b.weight, b.dx, nullptr,
           p.accumulate ? b.dx : nullptr, Activation::None, context);
}

// dx[h] takes dy[(h + pad_top - r) / 2] through kernel row r where that is whole: rows 0 and 2 for even h +
// pad_top, row 1 for odd. Columns likewise, in pairs (odd, even) that begin left of the image where pad_left
// is even.
void grad_input_stride2(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  const Layout layout(p);
  const int outside = p.pad_left % 2 == 0;
  const int pairs = (p.w + outside + 1) / 2;
  const int column = (p.pad_left - outside - 1) / 2;  // of dy, the first that a pair takes
  const Cover cover(layout.shared ? PhaseRow<true>::phases : PhaseRow<false>::phases, pairs, kMostSums / 2, 1,
                    false, column + pairs == p.q + 1);
  const int64_t dy_row = int64_t{p.q} * W, dx_row = int64_t{p.w} * W;
  Strip strip{};
  strip.x_block = dy_row * p.p;
  strip.depth = layout.depth(p);
  strip.column = column;
  strip.width = p.q;
  strip.outside_left = outside;
  strip.outside_right = (p.w + outside) % 2;
  for_rows(context, p.n, layout.blocks, p.h, [&](int64_t n, int64_t block, Range rows) {
    const float* plane = b.dy + (n * layout.blocks + layout.first_input(block)) * strip.x_block;
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      Strip s = strip;
      const int64_t up = row + p.pad_top, odd = up % 2;
      int64_t dy = up / 2, tap = odd;  // the first row taken and its kernel row; the second: dy - 1, tap + 2
      s.taps = 2 - static_cast<int>(odd);
      if (dy >= p.p) --dy, tap += 2, --s.taps;
      if (s.taps == 2 && dy == 0) s.taps = 1;
      if (dy < 0 || dy >= p.p || s.taps < 0) s.taps = 0;
      s.x = plane + dy * dy_row + int64_t{s.column} * W;
      s.x_tap = -dy_row;
      s.weight = b.weight + block * layout.weight_size + tap * layout.kernel_row();
      s.weight_tap = 2 * layout.kernel_row();
      s.y = b.dx + ((n * layout.blocks + block) * p.h + row) * dx_row - outside * W;
      s.residual = p.accumulate ? s.y : nullptr;
      cover.run(s, 1, 2);
    }
  });
}

// Shared: [output block, mask, kernel row, kernel column, lanes]: lane l joins input channel l with output l
// ^ mask. Else: [output block, input block, kernel row, input channel, kernel column, lanes].
void prepare(const Conv2dProblem& p, const float* weight, float* prepared, const ExecutionContext& context) {
  const Layout layout(p);
  const bool transposed = p.pass == Conv2dPass::GradInput, turned = transposed && p.stride_h == 1;
  const int64_t per_group = p.channels_per_group(), steps = layout.shared ? per_group : W;
  parallel_for(context, layout.blocks, [&](int64_t block) {
    const int64_t first = layout.first_input(block);
    for (int64_t input_block = first; input_block < first + layout.group_blocks; ++input_block)
      for (int64_t step = 0; step < steps; ++step) {
        const int64_t left = steps - 1 - step, mask = left ^ (left >> 1);  // Gray code, down to 0
        float* to = prepared + block * layout.weight_size + (input_block - first) * 9 * W * W +
                    step * (layout.shared ? 9 : 3) * W;
        for (int64_t lane = 0; lane < W; ++lane, ++to) {
          const int64_t out = block * W + (layout.shared ? lane ^ mask : lane);
          const int64_t in = input_block * W + (layout.shared ? lane : step);
          const int64_t k = transposed ? in : out, other = transposed ? out : in;
          const int64_t c = layout.shared ? other & (per_group - 1) : other - first * W;
          const float* from = weight + (k * per_group + c) * 9;
          for (int r = 0; r < 3; ++r)
            for (int s = 0; s < 3; ++s)
              to[r * layout.kernel_row() + s * W] = k < p.k ? from[turned ? 8 - r * 3 - s : r * 3 + s] : 0;
        }
      }
  });
}

size_t prepared_bytes(const Conv2dProblem& p) {
  const Layout layout(p);
  return static_cast<size_t>(layout.blocks * layout.weight_size) * sizeof(float);
}

bool accepts_forward(const Conv2dProblem& p) { return p.pass == Conv2dPass::Forward && is_grouped3x3(p); }
template <int Stride>
bool accepts_grad_input(const Conv2dProblem& p) {
  return p.pass == Conv2dPass::GradInput && p.stride_h == Stride && is_grouped3x3(p);
}

constexpr Conv2dSolver solvers[] = {
    {"grouped3x3", accepts_forward, forward, nullptr, prepared_bytes, prepare},
    {"grouped3x3", accepts_grad_input<1>, grad_input_stride1, nullptr, prepared_bytes, prepare},
    {"grouped3x3", accepts_grad_input<2>, grad_input_stride2, nullptr, prepared_bytes, prepare},
};

}  // namespace

namespace GROUPCONV_ISA {
extern const Conv2dTable conv2d_grouped = {solvers, 3};
}

}  // namespace groupconv
