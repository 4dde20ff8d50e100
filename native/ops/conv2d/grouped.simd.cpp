// Grouped 3x3 convolution, strides 1 and 2: forward and gradInput.
#include "ops/conv2d/groupedConvolve.kernels.h"

namespace groupconv {
namespace {

// Of 16 registers a shuffle takes two: a second row's sums spill.
constexpr bool pairs_rows(Join join) { return W == 16 || join != Join::Shuffle; }

template <Join join, int Stride>
StripSet strips() {
  const StripKernel* paired = nullptr;
  if constexpr (pairs_rows(join)) paired = paired_rows<join, Stride>();
  return {single_rows<join, Stride, 3, 1, kMostSums>(), paired, 3, 1, kMostSums, join == Join::Shuffled};
}
template <Join join>
StripSet strips(int stride) {
  return stride == 1 ? strips<join, 1>() : strips<join, 2>();
}
// At stride 2 a shuffle before serves fewer multiply-adds, and loses (avx2, groups of 3: 92 instead of 78
// us).
bool rows_first(const Conv2dProblem& p, int width, int stride) {
  return stride == 1 && shuffles_rows_first(p, width, 4);  // which a pair of output rows takes
}
StripSet strips_of(const Conv2dProblem& p, int width, int stride) {
  const Join join = join_of(p);
  if constexpr (kShufflesRowsFirst)
    if (join == Join::Shuffle && rows_first(p, width, stride)) return strips<Join::Shuffled, 1>();
  if constexpr (kShufflesOperands)
    if (join == Join::Shuffle) return strips<Join::Shuffle>(stride);
  return join == Join::Swap ? strips<Join::Swap>(stride) : strips<Join::Broadcast>(stride);
}

// Pairs of sums: each input meets three weights, but fewer of them per sum than above (avx2, conv3 at stride
// 2: 336 us with 6, 359 with 5).
constexpr int kMostPairs = W == 8 ? 6 : kMostSums / 2;

template <Join join>
const StripKernel* phases() {
  return PhaseKernels<join, typename MakeIndices<kMostPairs>::type>::by_width;
}
bool phase_rows_first(const Conv2dProblem& p) { return shuffles_rows_first(p, p.q, 2); }
const StripKernel* phase_rows(Join join, bool shuffled) {
  if constexpr (kShufflesRowsFirst)
    if (shuffled) return phases<Join::Shuffled>();
  if constexpr (kShufflesOperands)
    if (join == Join::Shuffle) return phases<Join::Shuffle>();
  return join == Join::Swap ? phases<Join::Swap>() : phases<Join::Broadcast>();
}

void grouped_forward(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  forward(p, strips_of(p, p.w, p.stride_h), b, context);
}
void grouped_grad_input(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  grad_input_stride1(p, strips_of(p, p.q, 1), b, context);
}

// dx[h] takes dy[(h + pad_top - r) / 2] through kernel row r where that is whole: rows 0 and 2 for even h +
// pad_top, row 1 for odd. Columns likewise, in pairs (odd, even) that begin left of the image where pad_left
// is even.
struct PhasePlan {
  const Conv2dProblem& p;
  const Layout layout;
  const int outside, pairs, column;  // of dy, the first that a pair takes
  const bool shuffled;
  const Cover cover;

  explicit PhasePlan(const Conv2dProblem& p)
      : p(p),
        layout(p),
        outside(p.pad_left % 2 == 0),
        pairs((p.w + outside + 1) / 2),
        column((p.pad_left - outside - 1) / 2),
        shuffled(layout.join == Join::Shuffle && phase_rows_first(p)),
        cover(phase_rows(layout.join, shuffled), pairs, kMostPairs, 1, false, column + pairs == p.q + 1) {}
};

// Some rows of a plane of dx; the strip's y is its first one.
template <class Rows>
GROUPCONV_INLINE void run_phases(const PhasePlan& plan, const Strip& strip, Rows& source, Range rows) {
  const Conv2dProblem& p = plan.p;
  Strip s = strip;
  source.place(s);
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const int64_t up = row + p.pad_top, odd = up % 2;
    int64_t dy = up / 2, tap = odd;  // the first row taken and its kernel row; the second: dy - 1, tap + 2
    s.taps = 2 - static_cast<int>(odd);
    if (dy >= p.p) --dy, tap += 2, --s.taps;
    if (s.taps == 2 && dy == 0) s.taps = 1;
    if (dy < 0 || dy >= p.p || s.taps < 0) s.taps = 0;
    const int64_t upper = dy - max_of(s.taps - 1, 0);
    s.x = source.with({upper, upper + s.taps}) - (dy - upper) * s.x_tap + int64_t{plan.column} * W;
    s.column = plan.column;
    s.outside_left = strip.outside_left;
    s.outside_right = strip.outside_right;
    s.weight = strip.weight + tap * plan.layout.kernel_row();
    s.y = strip.y + (row * p.w - plan.outside) * W;
    s.residual = p.accumulate ? s.y : nullptr;
    plan.cover.run(s, 1, 2);
  }
}
// Apart, because it takes a large part of a stack.
GROUPCONV_KERNEL void run_shuffled_phases(const PhasePlan& plan, const Strip& strip, const PlainRows& plain,
                                          Range rows) {
  ShuffledRows source(plain, strip);
  run_phases(plan, strip, source, rows);
}

void grad_input_stride2(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  const PhasePlan plan(p);
  const Layout& layout = plan.layout;
  const int64_t dy_row = int64_t{p.q} * W, dx_plane = int64_t{p.h} * p.w * W;
  Strip strip{};
  strip.x_tap = -dy_row;
  strip.x_block = dy_row * p.p;
  strip.weight_tap = 2 * layout.kernel_row();
  strip.width = p.q;
  strip.outside_left = plan.outside;
  strip.outside_right = (p.w + plan.outside) % 2;
  for_rows(context, p.n, layout.out_blocks(), p.h, [&](int64_t n, int64_t block, Range rows) {
    PlainRows source{elements(b.dy) + (n * layout.in_blocks() + layout.first_input(block)) * strip.x_block,
                     dy_row};
    Strip s = strip;
    layout.place(s, elements(b.weight), block);
    s.y = elements(b.dx) + (n * layout.out_blocks() + block) * dx_plane;
    if (kShufflesRowsFirst && plan.shuffled)
      run_shuffled_phases(plan, s, source, rows);
    else
      run_phases(plan, s, source, rows);
  });
}

// With less than 8 sums in a tile, multiply-adds wait for one another; where a group has two output blocks,
// `direct` has twice as many sums, of pixels of any rows (avx2, 32 per group, 7 x 7: 97 instead of 88 % of
// the peak).
bool fills_tiles(const Conv2dProblem& p, int columns) {
  return W != 8 || columns >= 8 || join_of(p) != Join::Broadcast || p.channels_per_group() < 2 * W;
}
bool accepts_forward(const Conv2dProblem& p) {
  return p.pass == Conv2dPass::Forward && is_grouped3x3(p) && fills_tiles(p, p.q) &&
         shuffles_pay(p, rows_first(p, p.w, p.stride_h));
}
template <int Stride>
bool accepts_grad_input(const Conv2dProblem& p) {
  return p.pass == Conv2dPass::GradInput && p.stride_h == Stride && is_grouped3x3(p) &&
         fills_tiles(p, p.w / Stride) &&
         shuffles_pay(p, Stride == 1 ? rows_first(p, p.q, 1) : phase_rows_first(p));
}

constexpr Conv2dSolver solvers[] = {
    {"grouped3x3", accepts_forward, grouped_forward, nullptr, prepared_bytes, prepare},
    {"grouped3x3", accepts_grad_input<1>, grouped_grad_input, nullptr, prepared_bytes, prepare},
    {"grouped3x3", accepts_grad_input<2>, grad_input_stride2, nullptr, prepared_bytes, prepare},
};

}  // namespace

namespace GROUPCONV_ISA {
extern const Conv2dTable conv2d_grouped = {solvers, 3};
}

}  // namespace groupconv
