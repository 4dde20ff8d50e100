// Grouped convolution at stride 1 with kernels that span five rows and columns: 5x5, and 3x3 with dilation 2.
// Forward and gradInput.
#include "ops/conv2d/groupedConvolve.kernels.h"

namespace groupconv {
namespace {

// Sums beside five weights and an input.
constexpr int kMostSums5x5 = W == 16 ? 14 : 8;

template <Join join>
StripSet strips(int kernel) {
  constexpr bool kShuffled = join == Join::Shuffled;
  return kernel == 5
             ? StripSet{single_rows<join, 1, 5, 1, kMostSums5x5>(), nullptr, 5, 1, kMostSums5x5, kShuffled}
             : StripSet{single_rows<join, 1, 3, 2, kMostSums>(), nullptr, 3, 2, kMostSums, kShuffled};
}
bool rows_first(const Conv2dProblem& p, int width) { return shuffles_rows_first(p, width, 5); }
StripSet strips_of(const Conv2dProblem& p, int width) {
  const Join join = join_of(p);
  if constexpr (kShufflesRowsFirst)
    if (join == Join::Shuffle && rows_first(p, width)) return strips<Join::Shuffled>(p.r);
  if constexpr (kShufflesOperands)
    if (join == Join::Shuffle) return strips<Join::Shuffle>(p.r);
  return join == Join::Swap ? strips<Join::Swap>(p.r) : strips<Join::Broadcast>(p.r);
}

// Padding of two is "same", and the most that strips take; gradInput pads with what is left of four.
bool accepts(const Conv2dProblem& p, Conv2dPass pass) {
  const bool fits = pass == Conv2dPass::Forward ? is_padded_at_most(p, 2)
                                                : p.pad_top >= 2 && p.pad_right >= 2 && p.pad_bottom >= 2 &&
                                                      p.pad_left >= 2 && is_padded_at_most(p, 4);
  return p.pass == pass && is_grouped5x5(p) && fits && p.stride_h == 1 && p.stride_w == 1 &&
         shuffles_pay(p, rows_first(p, pass == Conv2dPass::Forward ? p.w : p.q));
}

constexpr Conv2dSolver solvers[] = {
    {"grouped5x5", [](const Conv2dProblem& p) { return accepts(p, Conv2dPass::Forward); },
     [](const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
       forward(p, strips_of(p, p.w), b, context);
     },
     nullptr, prepared_bytes, prepare},
    {"grouped5x5", [](const Conv2dProblem& p) { return accepts(p, Conv2dPass::GradInput); },
     [](const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
       grad_input_stride1(p, strips_of(p, p.q), b, context);
     },
     nullptr, prepared_bytes, prepare},
};

}  // namespace

namespace GROUPCONV_ISA {
extern const Conv2dTable conv2d_grouped_five = {solvers, 2};
}

}  // namespace groupconv
