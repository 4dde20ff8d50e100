// gradWeight for every convolution that no special solver takes: tap by tap, the 1x1 gradWeight over the
// pixels of dy whose input lies inside x. Sums stay in the workspace, then go into the row-major dweight.
//
// Loops: group -> chunk of pixels -> group of outputs -> tile of inputs -> tap -> tile of outputs. Groups of
// awkward sizes and plain layouts go through copies (regroup.kernels.h).
#include "ops/conv2d/gradWeight.kernels.h"
#include "ops/conv2d/regroup.kernels.h"

namespace groupconv {
namespace {

// x and dy in the kernel's layout. Sums: [group, R * S, outputs, inputs], in lanes [vector, R * S, size, W].
struct Work {
  const Conv2dProblem* p;
  Sides sides;
  const Element *x, *dy;
  float* sums;

  int64_t slots() const { return int64_t{p->r} * p->s; }
  int64_t units() const { return sides.in_lanes ? sides.x.blocks() : p->groups; }
  int64_t outputs() const {
    return sides.in_lanes ? sides.x.size : round_up(sides.y.per_group, kTileOutputs);
  }
  int64_t inputs() const { return sides.in_lanes ? W : sides.x.size; }
  float* sums_of(int64_t unit, int64_t slot) const {
    return sums + (unit * slots() + slot) * outputs() * inputs();
  }
};

// Where a tap finds its pixels in a chunk of dy: rows and columns whose input lies inside x.
struct TapBox {
  PixelBox box;
  int64_t x, dy;  // offsets of its first pixel
};

TapBox tap_box(const Work& work, int64_t slot, Range images, Range rows, Range columns) {
  const Conv2dProblem& p = *work.p;
  const int64_t up = p.pad_top - slot / p.s * p.dilation_h, left = p.pad_left - slot % p.s * p.dilation_w;
  const Range high = outputs_inside(p.p, p.h, p.stride_h, up),
              wide = outputs_inside(p.q, p.w, p.stride_w, left);
  const int64_t top = max_of(rows.begin, high.begin), first = max_of(columns.begin, wide.begin);
  const int64_t x_plane = work.sides.x.pixels() * W, x_image = work.sides.x.blocks() * x_plane;
  const int64_t dy_plane = work.sides.y.pixels() * W, dy_image = work.sides.y.blocks() * dy_plane;
  const PixelBox box{images.end - images.begin,
                     max_of(0, min_of(rows.end, high.end) - top),
                     max_of(0, min_of(columns.end, wide.end) - first),
                     x_image,
                     int64_t{p.stride_h} * p.w * W,
                     int64_t{p.stride_w} * W,
                     x_plane,
                     dy_image,
                     int64_t{p.q} * W,
                     dy_plane};
  return {box, images.begin * x_image + ((top * p.stride_h - up) * p.w + first * p.stride_w - left) * W,
          images.begin * dy_image + (top * p.q + first) * W};
}

// The part of one group's (k, c) plane that a thread has, for one chunk of pixels.
void add_chunk(const Work& work, int64_t unit, Range outputs, Range inputs, Range images, Range rows,
               Range columns, bool resume) {
  const Conv2dProblem& p = *work.p;
  const Element* x = work.x + unit * (work.sides.x.size / W) * work.sides.x.pixels() * W;
  const Element* dy = work.dy + unit * (work.sides.y.size / W) * work.sides.y.pixels() * W;
  for (int64_t k = outputs.begin; k < outputs.end; k += kGroupOutputs)
    for (int64_t c = inputs.begin, blocks; c < inputs.end; c += blocks * W) {
      blocks = tile_blocks(c, inputs.end);
      for (int64_t slot = 0; slot < int64_t{p.r} * p.s; ++slot) {
        TapBox tap = tap_box(work, slot, images, rows, columns);
        if (tap.box.rows * tap.box.pixels == 0) {
          if (resume) continue;
          tap = {{}, 0, 0};  // zeroes the sums
        }
        const WeightMatrix m{work.sums_of(unit, slot), work.inputs(), work.outputs(), work.inputs()};
        outer_products_of(tap.box, x + tap.x, dy + tap.dy, m, {k, min_of(outputs.end, k + kGroupOutputs)}, c,
                          blocks, resume);
      }
    }
}

void sum_groups(const Work& work, int thread, int threads) {
  const Conv2dProblem& p = *work.p;
  const int64_t width = kTileInputs * W, tiles = work.outputs() / kTileOutputs;
  const Rectangle mine = rectangle(work.units() * tiles, ceil_div(work.inputs(), width), thread, threads);
  const Range inputs{mine.minor.begin * width, min_of(work.inputs(), mine.minor.end * width)};
  PixelBox whole{};
  whole.images = p.n, whole.rows = p.p, whole.pixels = p.q;
  const PixelBox chunk = chunk_of(whole);
  for (int64_t tile = mine.major.begin; tile < mine.major.end;) {
    const int64_t unit = tile / tiles, end = min_of(mine.major.end, (unit + 1) * tiles);
    const Range outputs{tile % tiles * kTileOutputs, (end - unit * tiles) * kTileOutputs};
    bool resume = false;
    for (int64_t n = 0; n < p.n; n += chunk.images)
      for (int64_t row = 0; row < p.p; row += chunk.rows)
        for (int64_t pixel = 0; pixel < p.q; pixel += chunk.pixels) {
          add_chunk(work, unit, outputs, inputs, {n, min_of(p.n, n + chunk.images)},
                    {row, min_of(p.p, row + chunk.rows)}, {pixel, min_of(p.q, pixel + chunk.pixels)}, resume);
          resume = true;
        }
    tile = end;
  }
}

// out[i, lane] += sum over pixels of dy[lane] * x[lane ^ i].
template <int Size>
GROUPCONV_KERNEL void lane_products(const PixelBox& in, const Element* x, const Element* dy, float* out,
                                    bool resume) {
  Vec sums[Size];
  GROUPCONV_UNROLL
  for (int i = 0; i < Size; ++i) sums[i] = resume ? load(out + i * W) : zero();
  for (int64_t row = 0; row < in.rows; ++row) {
    const Element *x_at = x + row * in.x_row, *dy_at = dy + row * in.dy_row;
    for (int64_t pixel = in.pixels; pixel > 0; --pixel) {
      const Vec input = load(x_at), output = load(dy_at);
      each<Size>([&](auto i) GROUPCONV_INLINE_LAMBDA {
        multiply_add(sums[i.value], xor_lanes<i.value>(input), output);
      });
      x_at += in.x_pixel;
      dy_at += W;
    }
  }
  GROUPCONV_UNROLL
  for (int i = 0; i < Size; ++i) store(out + i * W, sums[i]);
}

template <int Size>
void sum_lanes_of(const Work& work, int thread, int threads) {
  if constexpr (Size < W) {
    const Conv2dProblem& p = *work.p;
    const Rectangle mine = rectangle(work.units(), work.slots(), thread, threads);
    for (int64_t unit = mine.major.begin; unit < mine.major.end; ++unit)
      for (int64_t n = 0; n < p.n; ++n)
        for (int64_t slot = mine.minor.begin; slot < mine.minor.end; ++slot) {
          const TapBox tap = tap_box(work, slot, {n, n + 1}, {0, p.p}, {0, p.q});
          lane_products<Size>(tap.box, work.x + unit * tap.box.x_plane + tap.x,
                              work.dy + unit * tap.box.dy_plane + tap.dy, work.sums_of(unit, slot), n > 0);
        }
  }
}

void sum_in_lanes(const Work& work, int thread, int threads) {
  switch (work.sides.x.size) {
    case 1:
      return sum_lanes_of<1>(work, thread, threads);
    case 2:
      return sum_lanes_of<2>(work, thread, threads);
    case 4:
      return sum_lanes_of<4>(work, thread, threads);
    case 8:
      return sum_lanes_of<8>(work, thread, threads);
  }
}

// Sums -> dweight [K, C / groups, R * S].
void write_out(const Work& work, float* dweight, const ExecutionContext& context) {
  const Side &x = work.sides.x, &y = work.sides.y;
  const int64_t slots = work.slots(), slot_size = work.outputs() * work.inputs(), size = x.size;
  parallel_for(context, y.channels, [&](int64_t k) {
    const int64_t lane = y.lane_of(k);
    float* to = dweight + k * x.per_group * slots;
    for (int64_t c = 0; c < x.per_group; ++c, to += slots) {
      const float* from = work.sides.in_lanes
                              ? work.sums_of(lane / W, 0) + (lane % size ^ c) * W + lane % W
                              : work.sums_of(k / y.per_group, 0) + k % y.per_group * work.inputs() + c;
      for (int64_t slot = 0; slot < slots; ++slot)
        to[slot] = from[slot * slot_size] + (work.p->accumulate ? to[slot] : 0.0f);
    }
  });
}

void grad_weight(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  const Sides sides = sides_of(p);
  Element* x_copy = static_cast<Element*>(b.workspace);
  Element* dy_copy = x_copy + sides.x.copy_size(p.n);
  if (!sides.x.is_native()) copy_in(sides.x, p.n, elements(b.x), x_copy, context);
  if (!sides.y.is_native()) copy_in(sides.y, p.n, elements(b.dy), dy_copy, context);
  const Work work{&p, sides, sides.x.is_native() ? elements(b.x) : x_copy,
                  sides.y.is_native() ? elements(b.dy) : dy_copy,
                  reinterpret_cast<float*>(dy_copy + sides.y.copy_size(p.n))};
  parallel(context, [&](int thread, int threads) {
    if (sides.in_lanes)
      sum_in_lanes(work, thread, threads);
    else
      sum_groups(work, thread, threads);
  });
  write_out(work, b.dweight, context);
}

size_t workspace_bytes(const Conv2dProblem& p) {
  const Work work{&p, sides_of(p), nullptr, nullptr, nullptr};
  return sizeof(Element) * (work.sides.x.copy_size(p.n) + work.sides.y.copy_size(p.n)) +
         sizeof(float) * (work.units() * work.slots() * work.outputs() * work.inputs());
}

constexpr Conv2dSolver solvers[] = {
    {"direct", [](const Conv2dProblem& p) { return p.pass == Conv2dPass::GradWeight; }, grad_weight,
     workspace_bytes},
};

}  // namespace

namespace GROUPCONV_ISA {
extern const Conv2dTable conv2d_direct_grad_weight = {solvers, 1};
}

}  // namespace groupconv
