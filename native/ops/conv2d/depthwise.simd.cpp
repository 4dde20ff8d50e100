// Depthwise convolution, forward and gradInput: groups == C, every output channel reads one input channel.
//   x [N, C/W, H, W, lanes]   weight [K/W, R, S, lanes]   y [N, K/W, P, Q, lanes]
// Threads share planes and strips of rows. 3x3 and 5x5 at stride 1 and 2 and 7x7 at stride 1, dilated or not,
// have kernels that keep everything in registers; gradInput at stride 1 is forward on flipped weights. All
// other geometry, and gradInput dilated at stride 2, walks lists of taps.
#include "cpu/moments.h"
#include "ops/conv2d/conv2d.taps.h"
#include "ops/conv2d/depthwise.kernels.h"
#include "ops/conv2d/depthwise.multiplier.kernels.h"

namespace groupconv {
namespace {

bool is_square(const Conv2dProblem& p, int kernel, int stride) {
  return p.r == kernel && p.s == kernel && p.stride_h == stride && p.stride_w == stride;
}
bool is_dilated(const Conv2dProblem& p) { return p.dilation_h > 1 || p.dilation_w > 1; }
bool is_forward(const Conv2dProblem& p) { return p.pass == Conv2dPass::Forward; }
// gradInput that runs as forward.
bool is_flipped(const Conv2dProblem& p) {
  return !is_forward(p) && (is_square(p, 3, 1) || is_square(p, 5, 1) || is_square(p, 7, 1));
}

Planes planes_of(const Conv2dProblem& p, const Conv2dBuffers& b) {
  const int64_t blocks = ceil_div(p.k, W), taps = int64_t{p.r} * p.s;
  const Steps x{int64_t{p.h} * p.w * W, int64_t{p.w} * W, W}, y{int64_t{p.p} * p.q * W, int64_t{p.q} * W, W};
  if (is_forward(p))
    return {p.n * blocks,
            blocks,
            p.h,
            p.w,
            p.p,
            p.q,
            x,
            y,
            p.pad_top,
            p.pad_left,
            taps,
            elements(b.x),
            elements(b.weight),
            b.bias,
            elements(b.residual),
            elements(b.y),
            p.activation,
            b.moments};
  const Element* sum_onto = p.accumulate ? elements(b.dx) : nullptr;
  return {p.n * blocks,
          blocks,
          p.p,
          p.q,
          p.h,
          p.w,
          y,
          x,
          p.pad_top,
          p.pad_left,
          taps,
          elements(b.dy),
          elements(b.weight),
          nullptr,
          sum_onto,
          elements(b.dx),
          Activation::None};
}

// body(item, first strip, last strip) for every strip of every item, contiguous per thread.
template <class Body>
void run_strips(int64_t items, int64_t strips, const ExecutionContext& context, const Body& body) {
  parallel(context, [&](int thread, int threads) {
    const Range range = share(items * strips, thread, threads);
    for (int64_t i = range.begin; i < range.end;) {
      const int64_t item = i / strips, end = min_of(range.end, (item + 1) * strips);
      body(item, i - item * strips, end - item * strips);
      i = end;
    }
  });
}

template <int K, int Stride>
void gather(const Planes& planes, const int32_t (&dilation)[2], const ExecutionContext& context) {
  const int64_t phases = int64_t{dilation[0]} * dilation[1];
  const int64_t strips = ceil_div(ceil_div(planes.out_h, dilation[0]), kRows);  // of the longest phase
  const PlanesInTheMaking making(planes.moments, planes.out, planes.out_h * planes.out_w);
  run_strips(planes.count * phases, strips, context, [&](int64_t item, int64_t first, int64_t last) {
    const int64_t plane = item / phases, phase = item % phases;
    const auto gather_of = [&](const Planes& part) {
      gather_strips<K, Stride>(part, plane, first, min_of(last, ceil_div(part.out_h, kRows)));
      making.stored(plane, max_of(0, min_of(part.out_h, last * kRows) - first * kRows) * part.out_w);
    };
    if (phases == 1) return gather_of(planes);
    gather_of(phase_of(planes, Stride, dilation, phase / dilation[1], phase % dilation[1]));
  });
}
template <int K>
void gather_flipped(Planes planes, const int32_t (&dilation)[2], const ExecutionContext& context) {
  planes.pad_top = (K - 1) * dilation[0] - planes.pad_top;
  planes.pad_left = (K - 1) * dilation[1] - planes.pad_left;
  gather<K, 1>(planes, dilation, context);
}
template <int K>
void scatter(const Planes& planes, const ExecutionContext& context) {
  run_strips(
      planes.count, ceil_div(planes.pad_top + planes.out_h, kRows), context,
      [&](int64_t plane, int64_t first, int64_t last) { scatter_strips<K, 2>(planes, plane, first, last); });
}

// How any geometry is walked: one row of one phase of outputs at a time, kPixels of them in registers.
constexpr int kPixels = 8;

struct TapWalk {
  const Planes& planes;
  const Plane& plane;
  const Taps &rows, &columns;
  int64_t row;                   // counts output rows of this phase
  int64_t kernel_width;          // S
  int64_t out_offset, out_step;  // elements: of column 0 of this phase, and from one to the next
};

// Outputs i .. i + count - 1 of the phase; unless Edge, all kPixels of them, and all of their columns lie
// inside.
template <bool Edge>
GROUPCONV_KERNEL void walk_taps(const TapWalk& walk, int64_t i, int64_t count) {
  const Planes& planes = walk.planes;
  const int64_t width = planes.in_w, step = walk.columns.step;
  Vec sums[kPixels];
  for (Vec& sum : sums) sum = walk.plane.bias;
  for (int a = 0; a < walk.rows.count; ++a) {
    const int64_t h = walk.row * walk.rows.step + walk.rows.offset[a];
    if (h < 0 || h >= planes.in_h) continue;
    const Element* weights = walk.plane.weights + walk.rows.index[a] * walk.kernel_width * W;
    for (int b = 0; b < walk.columns.count; ++b) {
      const int64_t column = i * step + walk.columns.offset[b];
      const Element* in = walk.plane.in + (h * width + column) * W;
      const Vec weight = load(weights + walk.columns.index[b] * W);
      GROUPCONV_UNROLL
      for (int t = 0; t < kPixels; ++t)
        if (!Edge || static_cast<uint64_t>(column + t * step) < static_cast<uint64_t>(width))
          sums[t] += weight * load(in + t * step * W);
    }
  }
  GROUPCONV_UNROLL
  for (int t = 0; t < kPixels; ++t)
    if (!Edge || t < count) walk.plane.finish(sums[t], walk.out_offset + (i + t) * walk.out_step);
}

void any_geometry(const Conv2dProblem& p, const Planes& planes, const ExecutionContext& context) {
  const int64_t step_h = is_forward(p) ? 1 : p.stride_h, step_w = is_forward(p) ? 1 : p.stride_w;
  const PlanesInTheMaking making(planes.moments, planes.out, planes.out_h * planes.out_w);
  parallel_for(context, planes.count * planes.out_h, [&](int64_t item) {
    const Plane plane(planes, item / planes.out_h);
    const int64_t h = item % planes.out_h;
    const Taps rows = is_forward(p) ? forward_taps(p.r, p.stride_h, p.dilation_h, p.pad_top)
                                    : grad_input_taps(p.r, p.stride_h, p.dilation_h, p.pad_top, h % step_h);
    for (int64_t phase = 0; phase < min_of(step_w, planes.out_w); ++phase) {
      const Taps columns = is_forward(p) ? forward_taps(p.s, p.stride_w, p.dilation_w, p.pad_left)
                                         : grad_input_taps(p.s, p.stride_w, p.dilation_w, p.pad_left, phase);
      const TapWalk walk{planes,    plane, rows, columns, h / step_h, p.s, (h * planes.out_w + phase) * W,
                         step_w * W};
      const int64_t outputs = ceil_div(planes.out_w - phase, step_w);
      for (int64_t i = 0; i < outputs; i += kPixels)
        if (i + kPixels <= outputs && columns.inside(i, kPixels, planes.in_w))
          walk_taps<false>(walk, i, kPixels);
        else
          walk_taps<true>(walk, i, outputs - i);
    }
    making.stored(item / planes.out_h, planes.out_w);
  });
}

void run_planes(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  const Planes planes = planes_of(p, b);
  const int32_t dilation[2] = {p.dilation_h, p.dilation_w};
  if (is_forward(p)) {
    if (is_square(p, 3, 1)) return gather<3, 1>(planes, dilation, context);
    if (is_square(p, 3, 2)) return gather<3, 2>(planes, dilation, context);
    if (is_square(p, 5, 1)) return gather<5, 1>(planes, dilation, context);
    if (is_square(p, 5, 2)) return gather<5, 2>(planes, dilation, context);
    if (is_square(p, 7, 1)) return gather<7, 1>(planes, dilation, context);
  } else {
    if (is_square(p, 3, 1)) return gather_flipped<3>(planes, dilation, context);
    if (is_square(p, 5, 1)) return gather_flipped<5>(planes, dilation, context);
    if (is_square(p, 7, 1)) return gather_flipped<7>(planes, dilation, context);
    if (is_square(p, 3, 2) && !is_dilated(p)) return scatter<3>(planes, context);
    if (is_square(p, 5, 2) && !is_dilated(p)) return scatter<5>(planes, context);
  }
  any_geometry(p, planes, context);
}

bool accepts(const Conv2dProblem& p) {
  return p.pass != Conv2dPass::GradWeight && is_depthwise(p) && p.r <= kMaxTaps && p.s <= kMaxTaps;
}

size_t workspace_bytes(const Conv2dProblem& p) { return repeated_size(p) * sizeof(Element); }

size_t prepared_bytes(const Conv2dProblem& p) { return ceil_div(p.k, W) * W * p.r * p.s * sizeof(Element); }

void prepare(const Conv2dProblem& p, const float* weight, float* prepared, const ExecutionContext&) {
  const int64_t taps = int64_t{p.r} * p.s, padded = ceil_div(p.k, W) * W;
  for (int64_t k = 0; k < padded; ++k)
    for (int64_t tap = 0; tap < taps; ++tap)  // [K/W, R, S, lanes]
      elements(prepared)[(k / W * taps + tap) * W + k % W] =
          Element(k < p.k ? weight[k * taps + (is_flipped(p) ? taps - 1 - tap : tap)] : 0);
}

void run(const Conv2dProblem& problem, const Conv2dBuffers& buffers, const ExecutionContext& context) {
  if (!has_multiplier(problem)) return run_planes(problem, buffers, context);
  Conv2dProblem p = problem;
  Conv2dBuffers b = buffers;
  float* repeated = static_cast<float*>(buffers.workspace);  // [N, K/W, H, W, lanes]
  p.c = p.k;
  p.accumulate = 0;
  b.x = b.dx = repeated;
  if (is_forward(p)) repeat_channels(problem, elements(buffers.x), elements(repeated), context);
  run_planes(p, b, context);
  if (!is_forward(p)) sum_repeated(problem, elements(repeated), elements(buffers.dx), context);
}

constexpr Conv2dSolver solvers[] = {{"depthwise", accepts, run, workspace_bytes, prepared_bytes, prepare}};

}  // namespace

namespace GROUPCONV_ISA {
extern const Conv2dTable conv2d_depthwise = {solvers, 1};
}

}  // namespace groupconv
