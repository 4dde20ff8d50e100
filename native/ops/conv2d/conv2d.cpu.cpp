// The CPU's solver list for conv2d, and its plain reference: direct sums in float64, any layout, any
// geometry.
#include "ops/conv2d/conv2d.h"

#include <algorithm>
#include <cmath>

#include "cpu/context.h"
#include "cpu/isa.h"
#include "cpu/pool.h"

namespace groupconv {

GROUPCONV_PER_ISA(Conv2dTable, conv2d_pointwise)
GROUPCONV_PER_ISA(Conv2dTable, conv2d_pointwise_grad_weight)
GROUPCONV_PER_ISA(Conv2dTable, conv2d_grouped)
GROUPCONV_PER_ISA(Conv2dTable, conv2d_grouped_five)
GROUPCONV_PER_ISA(Conv2dTable, conv2d_grouped_grad_weight)
GROUPCONV_PER_ISA(Conv2dTable, conv2d_depthwise)
GROUPCONV_PER_ISA(Conv2dTable, conv2d_depthwise_grad_weight)
GROUPCONV_PER_ISA(Conv2dTable, conv2d_stem)
GROUPCONV_PER_ISA(Conv2dTable, conv2d_stem_grad_input)
GROUPCONV_PER_ISA(Conv2dTable, conv2d_stem_lines_grad_weight)
GROUPCONV_PER_ISA(Conv2dTable, conv2d_stem_grad_weight)
GROUPCONV_PER_ISA(Conv2dTable, conv2d_direct)
GROUPCONV_PER_ISA(Conv2dTable, conv2d_direct_grad_weight)

namespace {

// Offset of an element in N C/B H W B.
int64_t at(int64_t n, int64_t c, int64_t h, int64_t w, int64_t channels, int64_t height, int64_t width,
           int64_t block) {
  const int64_t blocks = (channels + block - 1) / block;
  return (((n * blocks + c / block) * height + h) * width + w) * block + c % block;
}

int64_t padded(int64_t channels, int64_t block) { return (channels + block - 1) / block * block; }

float activate(float v, Activation kind) {
  if (kind == Activation::None) return v;
  v = v < 0 ? 0 : v;
  return kind == Activation::Relu6 && v > 6 ? 6 : v;
}

void forward(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  const int64_t cg = p.channels_per_group(), kg = p.outputs_per_group(), lanes = padded(p.k, p.y_block);
  parallel_for(context, p.n * lanes, [&](int64_t i) {
    const int64_t n = i / lanes, k = i % lanes;
    for (int64_t oh = 0; oh < p.p; ++oh)
      for (int64_t ow = 0; ow < p.q; ++ow) {
        float& y = b.y[at(n, k, oh, ow, p.k, p.p, p.q, p.y_block)];
        if (k >= p.k) {
          y = 0;
          continue;
        }
        double sum = b.bias ? b.bias[k] : 0;
        for (int64_t c = 0; c < cg; ++c)
          for (int64_t r = 0; r < p.r; ++r) {
            const int64_t h = oh * p.stride_h + r * p.dilation_h - p.pad_top;
            if (h < 0 || h >= p.h) continue;
            for (int64_t s = 0; s < p.s; ++s) {
              const int64_t w = ow * p.stride_w + s * p.dilation_w - p.pad_left;
              if (w < 0 || w >= p.w) continue;
              sum += double{b.weight[((k * cg + c) * p.r + r) * p.s + s]} *
                     b.x[at(n, k / kg * cg + c, h, w, p.c, p.h, p.w, p.x_block)];
            }
          }
        if (b.residual) sum += b.residual[at(n, k, oh, ow, p.k, p.p, p.q, p.y_block)];
        y = activate(static_cast<float>(sum), p.activation);
      }
  });
}

void grad_input(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  const int64_t cg = p.channels_per_group(), kg = p.outputs_per_group(), lanes = padded(p.c, p.x_block);
  parallel_for(context, p.n * lanes, [&](int64_t i) {
    const int64_t n = i / lanes, c = i % lanes, group = c / cg;
    for (int64_t h = 0; h < p.h; ++h)
      for (int64_t w = 0; w < p.w; ++w) {
        float& dx = b.dx[at(n, c, h, w, p.c, p.h, p.w, p.x_block)];
        double sum = 0;
        for (int64_t r = 0; r < p.r && c < p.c; ++r) {
          const int64_t up = h + p.pad_top - r * p.dilation_h;
          if (up < 0 || up % p.stride_h || up / p.stride_h >= p.p) continue;
          for (int64_t s = 0; s < p.s; ++s) {
            const int64_t left = w + p.pad_left - s * p.dilation_w;
            if (left < 0 || left % p.stride_w || left / p.stride_w >= p.q) continue;
            for (int64_t k = group * kg; k < (group + 1) * kg; ++k)
              sum += double{b.weight[((k * cg + c % cg) * p.r + r) * p.s + s]} *
                     b.dy[at(n, k, up / p.stride_h, left / p.stride_w, p.k, p.p, p.q, p.y_block)];
          }
        }
        if (c >= p.c)
          dx = 0;
        else
          dx = static_cast<float>(p.accumulate ? dx + sum : sum);
      }
  });
}

void grad_weight(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  const int64_t cg = p.channels_per_group(), kg = p.outputs_per_group();
  parallel_for(context, p.k * cg, [&](int64_t i) {
    const int64_t k = i / cg, c = k / kg * cg + i % cg;
    for (int64_t r = 0; r < p.r; ++r)
      for (int64_t s = 0; s < p.s; ++s) {
        double sum = 0;
        for (int64_t n = 0; n < p.n; ++n)
          for (int64_t oh = 0; oh < p.p; ++oh) {
            const int64_t h = oh * p.stride_h + r * p.dilation_h - p.pad_top;
            if (h < 0 || h >= p.h) continue;
            for (int64_t ow = 0; ow < p.q; ++ow) {
              const int64_t w = ow * p.stride_w + s * p.dilation_w - p.pad_left;
              if (w < 0 || w >= p.w) continue;
              sum += double{b.x[at(n, c, h, w, p.c, p.h, p.w, p.x_block)]} *
                     b.dy[at(n, k, oh, ow, p.k, p.p, p.q, p.y_block)];
            }
          }
        float& dweight = b.dweight[(i * p.r + r) * p.s + s];
        dweight = static_cast<float>(p.accumulate ? dweight + sum : sum);
      }
  });
}

void fold(const Conv2dFoldProblem& p, const Conv2dFoldBuffers& b, const ExecutionContext&) {
  const int64_t lanes = padded(p.k, 16);
  for (int64_t k = 0; k < lanes; ++k) {
    double shift = k < p.k && p.has_bias ? b.bias[k] : 0;
    if (p.has_norm && k < p.k) {
      const double scale = (b.norm_weight ? b.norm_weight[k] : 1) / std::sqrt(double{b.variance[k]} + p.eps);
      shift = (shift - b.mean[k]) * scale + (b.norm_bias ? b.norm_bias[k] : 0);
      for (int64_t i = k * p.per_output; i < (k + 1) * p.per_output; ++i)
        b.folded_weight[i] = static_cast<float>(b.weight[i] * scale);
    }
    b.folded_bias[k] = static_cast<float>(shift);
  }
}

constexpr Conv2dSolver references[] = {
    {"reference", [](const Conv2dProblem& p) { return p.pass == Conv2dPass::Forward; }, forward},
    {"reference", [](const Conv2dProblem& p) { return p.pass == Conv2dPass::GradInput; }, grad_input},
    {"reference", [](const Conv2dProblem& p) { return p.pass == Conv2dPass::GradWeight; }, grad_weight},
};
constexpr Conv2dFoldSolver folds[] = {{"reference", [](const Conv2dFoldProblem&) { return true; }, fold}};

// Most specific first.
const SolverList<Conv2dProblem, Conv2dBuffers>& solvers() {
  return for_active_isa([](Isa isa) {
    return join<Conv2dProblem, Conv2dBuffers>({conv2d_pointwise_for(isa),
                                               conv2d_pointwise_grad_weight_for(isa),
                                               conv2d_depthwise_for(isa),
                                               conv2d_depthwise_grad_weight_for(isa),
                                               conv2d_grouped_for(isa),
                                               conv2d_grouped_five_for(isa),
                                               conv2d_grouped_grad_weight_for(isa),
                                               conv2d_stem_for(isa),
                                               conv2d_stem_grad_input_for(isa),
                                               conv2d_stem_lines_grad_weight_for(isa),
                                               conv2d_stem_grad_weight_for(isa),
                                               conv2d_direct_for(isa),
                                               conv2d_direct_grad_weight_for(isa),
                                               {references, 3}});
  });
}

const SolverList<Conv2dFoldProblem, Conv2dFoldBuffers>& fold_solvers() {
  static const auto list = join<Conv2dFoldProblem, Conv2dFoldBuffers>({{folds, 1}});
  return list;
}

const bool registered = conv2d_registry().add(DeviceKind::Cpu, solvers) &&
                        conv2d_fold_registry().add(DeviceKind::Cpu, fold_solvers);

}  // namespace
}  // namespace groupconv
