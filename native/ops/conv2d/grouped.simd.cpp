// Grouped 3x3 convolution, strides 1 and 2: forward and gradInput.
#include "ops/conv2d/groupedConvolve.kernels.h"

namespace groupconv {
namespace {

// Of 16 registers a shuffle takes two: a second row's sums spill (avx2, groups_of_12: 394 instead of 345 us).
constexpr bool pairs_rows(Join join) { return W == 16 || join != Join::Shuffle; }

template <Join join, int Stride>
StripSet strips() {
  const StripKernel* paired = nullptr;
  if constexpr (pairs_rows(join)) paired = paired_rows<join, Stride>();
  return {single_rows<join, Stride, 3, 1, kMostSums>(), paired, 3, 1, kMostSums};
}
template <Join join>
StripSet strips(int stride) {
  return stride == 1 ? strips<join, 1>() : strips<join, 2>();
}
StripSet strips_of(const Conv2dProblem& p, int stride) {
  const Join join = join_of(p);
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
const StripKernel* phase_rows(Join join) {
  if constexpr (kShufflesOperands)
    if (join == Join::Shuffle) return phases<Join::Shuffle>();
  return join == Join::Swap ? phases<Join::Swap>() : phases<Join::Broadcast>();
}

void grouped_forward(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  forward(p, strips_of(p, p.stride_h), b, context);
}
void grouped_grad_input(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  grad_input_stride1(p, strips_of(p, 1), b, context);
}

// dx[h] takes dy[(h + pad_top - r) / 2] through kernel row r where that is whole: rows 0 and 2 for even h +
// pad_top, row 1 for odd. Columns likewise, in pairs (odd, even) that begin left of the image where pad_left
// is even.
void grad_input_stride2(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  const Layout layout(p);
  const int outside = p.pad_left % 2 == 0;
  const int pairs = (p.w + outside + 1) / 2;
  const int column = (p.pad_left - outside - 1) / 2;  // of dy, the first that a pair takes
  const Cover cover(phase_rows(layout.join), pairs, kMostPairs, 1, false, column + pairs == p.q + 1);
  const int64_t dy_row = int64_t{p.q} * W, dx_row = int64_t{p.w} * W;
  Strip strip{};
  strip.x_tap = -dy_row;
  strip.x_block = dy_row * p.p;
  strip.weight_tap = 2 * layout.kernel_row();
  strip.column = column;
  strip.width = p.q;
  strip.outside_left = outside;
  strip.outside_right = (p.w + outside) % 2;
  for_rows(context, p.n, layout.out_blocks(), p.h, [&](int64_t n, int64_t block, Range rows) {
    const Element* plane =
        elements(b.dy) + (n * layout.in_blocks() + layout.first_input(block)) * strip.x_block;
    Strip s = strip;
    layout.place(s, elements(b.weight), block);
    const Element* weight = s.weight;
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      const int64_t up = row + p.pad_top, odd = up % 2;
      int64_t dy = up / 2, tap = odd;  // the first row taken and its kernel row; the second: dy - 1, tap + 2
      s.taps = 2 - static_cast<int>(odd);
      if (dy >= p.p) --dy, tap += 2, --s.taps;
      if (s.taps == 2 && dy == 0) s.taps = 1;
      if (dy < 0 || dy >= p.p || s.taps < 0) s.taps = 0;
      s.x = plane + dy * dy_row + int64_t{strip.column} * W;
      s.column = strip.column;
      s.outside_left = strip.outside_left;
      s.outside_right = strip.outside_right;
      s.weight = weight + tap * layout.kernel_row();
      s.y = elements(b.dx) + ((n * layout.out_blocks() + block) * p.h + row) * dx_row - outside * W;
      s.residual = p.accumulate ? s.y : nullptr;
      cover.run(s, 1, 2);
    }
  });
}

// With less than 8 sums in a tile, multiply-adds wait for one another; where a group has two output blocks,
// `direct` has twice as many sums, of pixels of any rows (avx2, 32 per group, 7 x 7: 97 instead of 88 % of
// the peak).
bool fills_tiles(const Conv2dProblem& p, int columns) {
  return W != 8 || columns >= 8 || join_of(p) != Join::Broadcast || p.channels_per_group() < 2 * W;
}
bool accepts_forward(const Conv2dProblem& p) {
  return p.pass == Conv2dPass::Forward && is_grouped3x3(p) && fills_tiles(p, p.q);
}
template <int Stride>
bool accepts_grad_input(const Conv2dProblem& p) {
  return p.pass == Conv2dPass::GradInput && p.stride_h == Stride && is_grouped3x3(p) &&
         fills_tiles(p, p.w / Stride);
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
