// Grouped convolution by strips: how tiles cover rows, rows are shared out, and weights are packed. For the
// units that choose the kernels. Layout N C/W H W lanes.
//
// gradInput at stride 1 is the forward strip on dy with the kernel turned by 180 degrees, transposed, and
// what the kernel spans less the padding. Threads share output rows; no sum depends on how.
#pragma once
#include "cpu/context.h"
#include "cpu/moments.h"
#include "ops/conv2d/groupedRows.kernels.h"

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

  // The strip's fields are those of the row's first tile, and move along. Per column of width, a tile has
  // `inputs` and `sums`. (Copies of a strip for each row cost 6 % of ResNeXt-50's conv5 on a Zen 4: fields
  // just written one by one are read as vectors.)
  void run(Strip& strip, int inputs, int sums) const {
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
      strip.ahead += int64_t{run->tiles} * strip.ahead_lines * kLine;
    }
  }
};

// Blocks of the tensor that is read (x, or dy for gradInput) and of the one that is written, and the weights
// of one written block: [block or step, kernel row, operand, kernel column, W operand lanes] with an axis of
// operands for Broadcast only. With Shuffle, the patterns stand before them.
struct Layout {
  Join join;
  int64_t in_channels, out_channels;    // of the tensors
  int64_t in_per_group, out_per_group;  // channels
  int64_t group_in, group_out;          // blocks of a group that fills vectors; else 1
  int64_t kernel_rows, kernel_columns;
  Patterns patterns;  // Shuffle

  explicit Layout(const Conv2dProblem& p) : Layout(p, p.pass == Conv2dPass::GradInput) {}

  int64_t in_blocks() const { return ceil_div(in_channels, W); }
  int64_t out_blocks() const { return ceil_div(out_channels, W); }
  int64_t first_input(int64_t block) const { return block / group_out * group_in; }
  int64_t channels_per_step() const { return join == Join::Broadcast ? W : kDotDepth; }
  int64_t steps() const {
    return join == Join::Broadcast ? group_in
           : join == Join::Swap    ? in_per_group / kDotDepth
                                   : most_steps(in_per_group);
  }
  int64_t kernel_row() const { return kernel_columns * channels_per_step() * W; }
  int64_t step_size() const { return kernel_rows * kernel_row(); }
  int64_t weight_size() const { return steps() * step_size(); }
  int64_t patterns_size() const {
    return join == Join::Shuffle ? static_cast<int64_t>(patterns.bytes() / sizeof(Element)) : 0;
  }
  size_t prepared_bytes() const {
    return static_cast<size_t>(patterns_size() + out_blocks() * weight_size()) * sizeof(Element);
  }

  // The part of a strip that only depends on the output block.
  void place(Strip& s, const Element* prepared, int64_t block) const {
    s.weight = prepared + patterns_size() + block * weight_size();
    s.weight_step = step_size();
    s.depth = static_cast<int>(steps());
    s.last_lanes = static_cast<int>(in_per_group - (group_in - 1) * W);
    s.steps = join == Join::Shuffle ? patterns.of(block, prepared) : nullptr;
  }

 private:
  Layout(const Conv2dProblem& p, bool transposed)
      : join(join_of(p)),
        in_channels(transposed ? p.k : p.c),
        out_channels(transposed ? p.c : p.k),
        in_per_group(in_channels / p.groups),
        out_per_group(out_channels / p.groups),
        group_in(join == Join::Broadcast ? ceil_div(in_per_group, W) : 1),
        group_out(join == Join::Broadcast ? ceil_div(out_per_group, W) : 1),
        kernel_rows(p.r),
        kernel_columns(p.s),
        patterns(in_channels, in_per_group) {}
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

// A convolution with one stride and dilation, whichever tensors it is between.
struct Geometry {
  int in_h, in_w, out_h, out_w, stride, pad_top, pad_left;
};

Cover row_cover(const Geometry& g, const StripSet& set, int rows) {
  const int reach = (set.kernel - 1) * set.dilation, edge = reach / 2;
  const int past =
      (g.out_w - 1) * g.stride - g.pad_left + reach + 1 - g.in_w;  // columns beyond the right edge
  return Cover(rows == 1 ? set.single : set.paired, g.out_w, set.most / rows, rows, g.pad_left > edge,
               past > edge);
}

// Output rows in units of one, or of two from the first that lies inside the image on. Units are fixed,
// because the order of a sum depends on the shape of its tile: threads share units.
struct RowPlan {
  Cover single, paired;
  int64_t unit, shift;  // rows of a unit; the first unit lacks `shift` of them

  RowPlan(const Geometry& g, const StripSet& set)
      : single(row_cover(g, set, 1)), paired(set.paired ? row_cover(g, set, 2) : single) {
    // At stride 2, 16 registers spill in wide single rows: avx2, conv3: 75 instead of 80 % of the FMA peak.
    const int spills = g.stride == 2 && W == 8;
    unit = set.paired && paired.cost < single.cost + spills ? 2 : 1;
    shift = ceil_div(g.pad_top, g.stride) % unit;
  }
  int64_t units(const Geometry& g) const { return ceil_div(g.out_h + shift, unit); }
  // Output rows of some units.
  Range rows(const Geometry& g, Range units) const {
    return {max_of(0, units.begin * unit - shift), min_of(g.out_h, units.end * unit - shift)};
  }
  bool is_pair(const Geometry& g, int64_t row) const {
    const int64_t top = row * g.stride - g.pad_top;
    return unit == 2 && (row + shift) % 2 == 0 && row + 1 < g.out_h && top >= 0 &&
           top + g.stride + 3 <= g.in_h;
  }
};

// The output rows of some units of one plane. The strip's fields are those of output row 0. With `fetch`,
// each unit fetches the input rows that only the next one takes (of `plane`, the first input plane); the last
// ones, the first rows of the next plane.
template <class Rows>
GROUPCONV_INLINE void convolve_units(const Geometry& g, const StripSet& set, const RowPlan& plan,
                                     const Strip& strip, Rows& source, const Element* plane, Range units,
                                     bool fetch) {
  const Range out = plan.rows(g, units);
  const int64_t in_row = int64_t{g.in_w} * W;
  const int64_t reach = (set.kernel - 1) * set.dilation;
  const auto in_taps = [&](int64_t rows) { return set.dilation == 1 ? rows : ceil_div(rows, set.dilation); };
  Strip s = strip;
  source.place(s);
  int64_t rows;
  for (int64_t row = out.begin; row < out.end; row += rows) {
    const bool pair = plan.is_pair(g, row);
    const Cover& cover = pair ? plan.paired : plan.single;
    rows = pair ? 2 : 1;
    const int64_t top = row * g.stride - g.pad_top;  // the input row of kernel row 0
    const int64_t tap = in_taps(max_of(0, -top));    // the first kernel row taken
    s.taps = static_cast<int>(max_of(0, min_of(set.kernel, in_taps(max_of(0, g.in_h - top))) - tap));
    const int64_t first = max_of(0, top), skipped = tap * set.dilation + top - first;
    const int64_t past = top + (tap + s.taps - 1) * set.dilation + 1 + (rows - 1) * g.stride;
    s.x = source.with({first, past}) + skipped * (s.x_tap / set.dilation) - int64_t{g.pad_left} * W;
    s.column = strip.column;
    s.weight = strip.weight + tap * s.weight_tap;
    s.y = strip.y + row * s.y_row;
    s.residual = strip.residual ? strip.residual + row * s.y_row : nullptr;
    s.ahead = plane + (top + reach + 1 + (rows - 1) * g.stride) * in_row;
    s.ahead_lines = fetch ? static_cast<int>(ceil_div(rows * g.stride * in_row, cover.tiles * kLine)) : 0;
    cover.run(s, g.stride, 1);
  }
}

// Apart, because it takes a large part of a stack.
GROUPCONV_KERNEL void convolve_shuffled(const Geometry& g, const StripSet& set, const RowPlan& plan,
                                        const Strip& strip, const PlainRows& plain, Range units) {
  ShuffledRows source(plain, strip);
  convolve_units(g, set, plan, strip, source, plain.plane, units, false);
}

void convolve(const Conv2dProblem& p, const Geometry& g, const StripSet& set, const Element* x,
              const Element* weight, Element* y, const Epilogue& epilogue, const PlaneMoments& moments,
              const ExecutionContext& context) {
  const Layout layout(p);
  const RowPlan plan(g, set);
  const int64_t in_row = int64_t{g.in_w} * W;
  Strip strip{};
  strip.x_tap = in_row * set.dilation;
  strip.x_row = in_row * g.stride;
  strip.x_block = in_row * g.in_h;
  strip.weight_tap = layout.kernel_row();
  strip.column = -g.pad_left;
  strip.width = g.in_w;
  strip.y_row = int64_t{g.out_w} * W;
  strip.activation = epilogue.activation;
  const PlanesInTheMaking planes(moments, y, int64_t{g.out_h} * g.out_w);
  for_rows(context, p.n, layout.out_blocks(), plan.units(g), [&](int64_t n, int64_t block, Range units) {
    const int64_t out = (n * layout.out_blocks() + block) * g.out_h * strip.y_row;
    Strip s = strip;
    layout.place(s, weight, block);
    s.y = y + out;
    s.bias = epilogue.bias ? epilogue.bias + block * W : nullptr;
    s.residual = epilogue.residual ? epilogue.residual + out : nullptr;
    const Element* plane = x + (n * layout.in_blocks() + layout.first_input(block)) * s.x_block;
    PlainRows source{plane, in_row};
    if (kShufflesRowsFirst && set.shuffled)
      convolve_shuffled(g, set, plan, s, source, units);
    else  // later blocks of a group find its input in cache
      convolve_units(g, set, plan, s, source, plane, units, block % layout.group_out == 0);
    const Range rows = plan.rows(g, units);
    planes.stored(n * layout.out_blocks() + block, (rows.end - rows.begin) * g.out_w);
  });
}

void forward(const Conv2dProblem& p, const StripSet& set, const Conv2dBuffers& b,
             const ExecutionContext& context) {
  convolve(p, {p.h, p.w, p.p, p.q, p.stride_h, p.pad_top, p.pad_left}, set, elements(b.x), elements(b.weight),
           elements(b.y), {b.bias, elements(b.residual), p.activation}, b.moments, context);
}

void grad_input_stride1(const Conv2dProblem& p, const StripSet& set, const Conv2dBuffers& b,
                        const ExecutionContext& context) {
  const int reach = (set.kernel - 1) * set.dilation;
  convolve(p, {p.p, p.q, p.h, p.w, 1, reach - p.pad_top, reach - p.pad_left}, set, elements(b.dy),
           elements(b.weight), elements(b.dx),
           {nullptr, p.accumulate ? elements(b.dx) : nullptr, Activation::None}, {}, context);
}

// One operand of weights per tap, for every kDotDepth channels of a block (Broadcast) or a step.
void pack(const Conv2dProblem& p, const float* weight, Element* prepared, const ExecutionContext& context) {
  const Layout layout(p);
  const bool transposed = p.pass == Conv2dPass::GradInput, turned = transposed && p.stride_h == 1;
  const int64_t per_group = p.channels_per_group(), taps = layout.kernel_rows * layout.kernel_columns;
  if (layout.join == Join::Shuffle) layout.patterns.make(prepared);
  // weight [K, C / groups, R, S] of a pair of channels, or null.
  const auto find = [&](int64_t in, int64_t out) -> const float* {
    if (in < 0 || in >= layout.in_channels || out >= layout.out_channels) return nullptr;
    const int64_t k = transposed ? in : out, c = transposed ? out : in;
    return weight + (k * per_group + c % per_group) * taps;
  };
  parallel_for(context, layout.out_blocks(), [&](int64_t block) {
    Strip place{};
    layout.place(place, prepared, block);
    const int64_t steps = layout.join == Join::Shuffle ? place.steps->count : place.depth;
    for (int64_t i = 0; i < steps * layout.channels_per_step(); ++i) {
      const int64_t left = steps - 1 - i / kDotDepth,
                    mask = (left ^ (left >> 1)) * kDotDepth;  // Swap: Gray code, down to 0
      Element* to = prepared + (place.weight - prepared) +
                    i / layout.channels_per_step() * layout.step_size() +
                    packed_at(i % layout.channels_per_step(), 0, layout.kernel_columns * W);
      for (int64_t lane = 0; lane < W; ++lane, to += kDotDepth) {
        int64_t out = block * W + lane, in = out;
        if (layout.join == Join::Swap) {
          out = block * W + (lane ^ mask);
          in += i % kDotDepth - lane % kDotDepth;
        } else if (layout.join == Join::Broadcast) {
          in = layout.first_input(block) * W + i;
        } else {
          const int64_t channel = place.steps[i].channel[lane];
          in = channel < 0 ? -1 : out / layout.in_per_group * layout.in_per_group + channel;
        }
        const float* from = find(in, out);
        for (int64_t r = 0; r < layout.kernel_rows; ++r)
          for (int64_t s = 0; s < layout.kernel_columns; ++s) {
            const int64_t tap = r * layout.kernel_columns + s;
            to[r * layout.kernel_row() + s * kDotDepth * W] =
                Element(from ? from[turned ? taps - 1 - tap : tap] : 0.0f);
          }
      }
    }
  });
}

void prepare(const Conv2dProblem& p, const float* weight, float* prepared, const ExecutionContext& context) {
  pack(p, weight, elements(prepared), context);
}
size_t prepared_bytes(const Conv2dProblem& p) { return Layout(p).prepared_bytes(); }

}  // namespace
}  // namespace groupconv
