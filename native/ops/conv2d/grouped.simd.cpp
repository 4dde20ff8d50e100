// Grouped 3x3 convolution with as many channels out as in: forward and gradInput. Activations N C/W H W lanes.
//
// gradInput at stride 1 is the forward strip on dy with the kernel turned by 180 degrees, transposed, and padding
// 2 - padding; at stride 2, rows and columns of dx fall into phases by parity, each with its own kernel rows.
// Threads share output rows; no sum depends on how.
#include "cpu/context.h"
#include "ops/conv2d/grouped.h"
#include "ops/conv2d/grouped.kernels.h"

namespace groupconv {
namespace {

// `total` columns as tiles of at most `most`: `wide` of them one column wider than the others.
struct Cover {
  int tiles, wide, width;
  Cover(int total, int most) : tiles(static_cast<int>(ceil_div(total, most))) {
    wide = total % tiles;
    width = total / tiles;
  }
  // Time for one input channel of one kernel row, in half cycles: two multiply-adds per cycle, or the latency of
  // three that depend on one another; and a constant that the loops cost (GUESS).
  int cost(int rows) const {
    const auto tile = [&](int columns) { return max_of(3 * columns * rows, 24) + 2; };
    return static_cast<int>(wide * tile(width + 1) + (tiles - wide) * tile(width)) * (2 / rows);
  }
};

struct Strips {
  const StripKernel *one, *two;  // by width; two rows at once, or null
  Cover single, paired;
};

Strips choose_strips(const StripKernel* one, const StripKernel* two, int columns) {
  const Cover single(columns, kMostSums), paired(columns, kMostSums / 2);
  return {one, paired.cost(2) < single.cost(1) ? two : nullptr, single, paired};
}

// The strip's fields are those of the row's first tile.
void run_row(const StripKernel* kernels, const Cover& cover, Strip strip, int sums_per_width, int columns_per_width) {
  const bool outside_right = strip.outside_right;
  strip.outside_right = false;
  if (cover.wide > 0) {
    strip.tiles = cover.wide;
    strip.outside_right = outside_right && cover.wide == cover.tiles;
    kernels[cover.width](strip);
    const int64_t done = cover.wide * (cover.width + 1);
    strip.x += done * columns_per_width * W;
    strip.column += static_cast<int>(done * columns_per_width);
    strip.y += done * sums_per_width * W;
    if (strip.residual) strip.residual += done * sums_per_width * W;
    strip.outside_left = false;
  }
  strip.tiles = cover.tiles - cover.wide;
  strip.outside_right = outside_right;
  kernels[cover.width - 1](strip);
}

// Channels of one group as the weights of one output block see them.
struct Layout {
  int64_t blocks, group_blocks, weight_size;  // channel blocks; those of one group; prepared floats per output block
  bool shared;
  explicit Layout(const Conv2dProblem& p)
      : blocks(ceil_div(p.c, W)),
        group_blocks(max_of(1, p.channels_per_group() / W)),
        weight_size(9 * p.channels_per_group() * W),
        shared(groups_share_vectors(p.channels_per_group())) {}
  int64_t first_input(int64_t block) const { return block / group_blocks * group_blocks; }
  int64_t kernel_row() const { return shared ? 3 * W : 3 * W * W; }
  int depth(const Conv2dProblem& p) const { return static_cast<int>(shared ? p.channels_per_group() : group_blocks); }
};

// body(n, output block, first row, end row): every row once, contiguous per thread.
template <class Body>
void for_rows(const ExecutionContext& context, int64_t n, int64_t blocks, int64_t rows, const Body& body) {
  parallel(context, [&](int thread, int threads) {
    const Range range = share(n * blocks * rows, thread, threads);
    for (int64_t i = range.begin; i < range.end;) {
      const int64_t plane = i / rows, row = i % rows, end = min_of(rows, row + range.end - i);
      body(plane / blocks, plane % blocks, row, end);
      i += end - row;
    }
  });
}

// A 3x3 convolution with one stride and padding, whichever tensors it is between.
struct Geometry {
  int in_h, in_w, out_h, out_w, stride, pad_top, pad_left;
};

void convolve(const Conv2dProblem& p, const Geometry& g, const Strips& strips, const float* x, Strip strip, float* y,
              const float* bias, const float* residual, const ExecutionContext& context) {
  const Layout layout(p);
  const float* weight = strip.weight;
  strip.x_tap = int64_t{g.in_w} * W;
  strip.x_row = strip.x_tap * g.stride;
  strip.x_block = strip.x_tap * g.in_h;
  strip.weight_tap = layout.kernel_row();
  strip.depth = layout.depth(p);
  strip.column = -g.pad_left;
  strip.width = g.in_w;
  strip.y_row = int64_t{g.out_w} * W;
  strip.outside_left = strip.outside_right = false;
  for_rows(context, p.n, layout.blocks, g.out_h, [&](int64_t n, int64_t block, int64_t row, int64_t end) {
    Strip s = strip;
    const float* plane = x + (n * layout.blocks + layout.first_input(block)) * s.x_block;
    const int64_t out = (n * layout.blocks + block) * g.out_h * s.y_row;
    s.bias = bias ? bias + block * W : nullptr;
    const auto first_tap = [&](int64_t top) { return max_of(0, -top); };
    const auto end_tap = [&](int64_t top) { return min_of(3, g.in_h - top); };
    while (row < end) {
      const int64_t top = row * g.stride - g.pad_top, tap = first_tap(top);  // input row of kernel row 0
      const bool pair = strips.two && row + 1 < end && top >= 0 && top + g.stride + 3 <= g.in_h;
      s.taps = static_cast<int>(max_of(0, end_tap(top) - tap));
      s.x = plane + (top + tap) * s.x_tap - int64_t{g.pad_left} * W;
      s.weight = weight + block * layout.weight_size + tap * s.weight_tap;
      s.y = y + out + row * s.y_row;
      s.residual = residual ? residual + out + row * s.y_row : nullptr;
      if (pair) run_row(strips.two, strips.paired, s, 1, g.stride);
      else run_row(strips.one, strips.single, s, 1, g.stride);
      row += pair ? 2 : 1;
    }
  });
}

template <bool Shared>
Strips strided_strips(int stride, int columns) {
  return stride == 1 ? choose_strips(SingleRow<Shared>::stride1, DoubleRow<Shared>::stride1, columns)
                     : choose_strips(SingleRow<Shared>::stride2, DoubleRow<Shared>::stride2, columns);
}
Strips strided_strips(const Conv2dProblem& p, int stride, int columns) {
  return groups_share_vectors(p.channels_per_group()) ? strided_strips<true>(stride, columns)
                                                      : strided_strips<false>(stride, columns);
}

void forward(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  Strip strip{};
  strip.weight = b.weight;
  strip.top = p.activation == Activation::None ? -1.0f : p.activation == Activation::Relu6 ? 6.0f : __builtin_inff();
  convolve(p, {p.h, p.w, p.p, p.q, p.stride_h, p.pad_top, p.pad_left}, strided_strips(p, p.stride_h, p.q), b.x, strip,
           b.y, b.bias, b.residual, context);
}

void grad_input_stride1(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  Strip strip{};
  strip.weight = b.weight;
  strip.top = -1;
  convolve(p, {p.p, p.q, p.h, p.w, 1, 2 - p.pad_top, 2 - p.pad_left}, strided_strips(p, 1, p.w), b.dy, strip, b.dx,
           nullptr, p.accumulate ? b.dx : nullptr, context);
}

// dx[h] takes dy[(h + pad_top - r) / 2] through kernel row r where that is whole: rows 0 and 2 for even h + pad_top,
// row 1 for odd. Columns likewise, in pairs (odd, even) that begin left of the image where pad_left is even.
void grad_input_stride2(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  const Layout layout(p);
  const int outside = p.pad_left % 2 == 0;
  const int pairs = (p.w + outside + 1) / 2;
  const Cover cover(pairs, kMostSums / 2);
  const StripKernel* kernels = layout.shared ? PhaseRow<true>::phases : PhaseRow<false>::phases;
  const int64_t dy_row = int64_t{p.q} * W, dx_row = int64_t{p.w} * W;
  Strip strip{};
  strip.x_block = dy_row * p.p;
  strip.depth = layout.depth(p);
  strip.column = (p.pad_left - outside - 1) / 2;
  strip.width = p.q;
  strip.top = -1;
  strip.outside_left = outside;
  strip.outside_right = (p.w + outside) % 2;
  for_rows(context, p.n, layout.blocks, p.h, [&](int64_t n, int64_t block, int64_t row, int64_t end) {
    const float* plane = b.dy + (n * layout.blocks + layout.first_input(block)) * strip.x_block;
    for (; row < end; ++row) {
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
      run_row(kernels, cover, s, 2, 1);
    }
  });
}

// Shared: [output block, mask, kernel row, kernel column, lanes]: lane l joins input channel l with output l ^ mask.
// Else: [output block, input block, kernel row, input channel, kernel column, lanes].
void prepare(const Conv2dProblem& p, const float* weight, float* prepared, const ExecutionContext& context) {
  const Layout layout(p);
  const bool transposed = p.pass == Conv2dPass::GradInput, turned = transposed && p.stride_h == 1;
  const int64_t per_group = p.channels_per_group(), group_channels = layout.shared ? per_group : W;
  parallel_for(context, layout.blocks, [&](int64_t block) {
    for (int64_t input_block = 0; input_block < layout.group_blocks; ++input_block)
      for (int64_t step = 0; step < group_channels; ++step)
        for (int64_t lane = 0; lane < W; ++lane) {
          const int64_t left = per_group - 1 - step, mask = left ^ (left >> 1);  // Gray code, down to 0
          const int64_t out = block * W + (layout.shared ? lane ^ mask : lane);
          const int64_t in = layout.shared ? block * W + lane : (layout.first_input(block) + input_block) * W + step;
          const int64_t k = transposed ? in : out, c = (transposed ? out : in) % per_group;
          const float* from = weight + (k * per_group + c) * 9;
          float* to = prepared + block * layout.weight_size + input_block * 9 * W * W + lane +
                      step * (layout.shared ? 9 : 3) * W;
          for (int r = 0; r < 3; ++r)
            for (int s = 0; s < 3; ++s)
              to[r * layout.kernel_row() + s * W] = k < p.k ? from[turned ? 8 - r * 3 - s : r * 3 + s] : 0;
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
