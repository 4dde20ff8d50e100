// The CPU's solver list for conv2d, and its plain reference: direct sums in float64, any layout, any
// geometry. Most of the tests' time is spent here: nothing is divided within a sum.
#include "ops/conv2d/conv2d.h"

#include <algorithm>
#include <cmath>

#include "cpu/context.h"
#include "cpu/offer.h"
#include "cpu/pool.h"
#include "cpu/reference.h"

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

int64_t padded(int64_t channels, int64_t block) { return (channels + block - 1) / block * block; }

// One channel of one image in N C/B H W B.
template <class T>
struct Plane {
  T* first;
  int64_t width, block;
  T& operator()(int64_t h, int64_t w) const { return first[(h * width + w) * block]; }
};
template <class T>
Plane<T> plane(T* tensor, int64_t n, int64_t c, int64_t channels, int64_t height, int64_t width,
               int64_t block) {
  const int64_t row = (n * padded(channels, block) + c / block * block) * height;
  return {tensor + row * width + c % block, width, block};
}
template <class T>
Plane<T> x_plane(const Conv2dProblem& p, T* x, int64_t n, int64_t c) {
  return plane(x, n, c, p.c, p.h, p.w, p.x_block);
}
template <class T>
Plane<T> y_plane(const Conv2dProblem& p, T* y, int64_t n, int64_t k) {
  return plane(y, n, k, p.k, p.p, p.q, p.y_block);
}

// Along W, output o has its tap s on input o * stride + offset(s).
struct Columns {
  int64_t begin, end;
};
int64_t offset(const Conv2dProblem& p, int64_t s) { return s * p.dilation_w - p.pad_left; }
// The outputs whose tap s is on one of the inputs [from, to).
Columns outputs(const Conv2dProblem& p, int64_t s, int64_t from, int64_t to) {
  const auto first = [&](int64_t input) {
    return (std::max<int64_t>(input - offset(p, s), 0) + p.stride_w - 1) / p.stride_w;
  };
  return {first(from), std::min<int64_t>(first(to), p.q)};
}

constexpr int64_t kRun = 64;  // of a row, whose sums grow side by side

void forward(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  const int64_t cg = p.channels_per_group(), kg = p.outputs_per_group(), lanes = padded(p.k, p.y_block);
  const auto row = [&](int64_t n, int64_t k, int64_t oh, int64_t begin, int64_t end) {
    double sums[kRun];
    std::fill_n(sums, end - begin, b.bias ? b.bias[k] : 0.0);
    for (int64_t c = 0; c < cg; ++c) {
      const Plane x = x_plane(p, b.x, n, k / kg * cg + c);
      for (int64_t r = 0; r < p.r; ++r) {
        const int64_t h = oh * p.stride_h + r * p.dilation_h - p.pad_top;
        if (h < 0 || h >= p.h) continue;
        for (int64_t s = 0; s < p.s; ++s) {
          const double weight = b.weight[((k * cg + c) * p.r + r) * p.s + s];
          const Columns inside = outputs(p, s, 0, p.w);
          for (int64_t ow = std::max(begin, inside.begin); ow < std::min(end, inside.end); ++ow)
            sums[ow - begin] += weight * x(h, ow * p.stride_w + offset(p, s));
        }
      }
    }
    const Plane y = y_plane(p, b.y, n, k);
    for (int64_t ow = begin; ow < end; ++ow) {
      const double residual = b.residual ? y_plane(p, b.residual, n, k)(oh, ow) : 0;
      y(oh, ow) = activate(p.activation, static_cast<float>(sums[ow - begin] + residual));
    }
  };
  parallel_for(context, p.n * lanes, [&](int64_t i) {
    const int64_t n = i / lanes, k = i % lanes;
    for (int64_t oh = 0; oh < p.p; ++oh)
      for (int64_t ow = 0; ow < p.q; ow += kRun)
        if (k < p.k)
          row(n, k, oh, ow, std::min<int64_t>(ow + kRun, p.q));
        else
          for (int64_t lane = ow; lane < std::min<int64_t>(ow + kRun, p.q); ++lane)
            y_plane(p, b.y, n, k)(oh, lane) = 0;
  });
}

void grad_input(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  const int64_t cg = p.channels_per_group(), kg = p.outputs_per_group(), lanes = padded(p.c, p.x_block);
  const auto row = [&](int64_t n, int64_t c, int64_t h, int64_t begin, int64_t end) {
    double sums[kRun] = {};
    const int64_t group = c / cg;
    for (int64_t r = 0; r < p.r && c < p.c; ++r) {
      const int64_t up = h + p.pad_top - r * p.dilation_h;
      if (up < 0 || up % p.stride_h || up / p.stride_h >= p.p) continue;
      for (int64_t s = 0; s < p.s; ++s) {
        const Columns seen_by = outputs(p, s, begin, end);
        for (int64_t k = group * kg; k < (group + 1) * kg; ++k) {
          const double weight = b.weight[((k * cg + c % cg) * p.r + r) * p.s + s];
          const Plane dy = y_plane(p, b.dy, n, k);
          for (int64_t ow = seen_by.begin; ow < seen_by.end; ++ow)
            sums[ow * p.stride_w + offset(p, s) - begin] += weight * dy(up / p.stride_h, ow);
        }
      }
    }
    const Plane dx = x_plane(p, b.dx, n, c);
    for (int64_t w = begin; w < end; ++w) {
      const double before = p.accumulate && c < p.c ? dx(h, w) : 0;
      dx(h, w) = static_cast<float>(before + sums[w - begin]);
    }
  };
  parallel_for(context, p.n * lanes, [&](int64_t i) {
    for (int64_t h = 0; h < p.h; ++h)
      for (int64_t w = 0; w < p.w; w += kRun)
        row(i / lanes, i % lanes, h, w, std::min<int64_t>(w + kRun, p.w));
  });
}

void grad_weight(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  const int64_t cg = p.channels_per_group(), kg = p.outputs_per_group();
  parallel_for(context, p.k * cg, [&](int64_t i) {
    const int64_t k = i / cg, c = k / kg * cg + i % cg;
    for (int64_t r = 0; r < p.r; ++r)
      for (int64_t s = 0; s < p.s; ++s) {
        const Columns inside = outputs(p, s, 0, p.w);
        double sum = 0;
        for (int64_t n = 0; n < p.n; ++n) {
          const Plane x = x_plane(p, b.x, n, c), dy = y_plane(p, b.dy, n, k);
          for (int64_t oh = 0; oh < p.p; ++oh) {
            const int64_t h = oh * p.stride_h + r * p.dilation_h - p.pad_top;
            if (h < 0 || h >= p.h) continue;
            for (int64_t ow = inside.begin; ow < inside.end; ++ow)
              sum += double{x(h, ow * p.stride_w + offset(p, s))} * dy(oh, ow);
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
const bool offered =
    offer<conv2d_registry, references, conv2d_pointwise_for, conv2d_pointwise_grad_weight_for,
          conv2d_depthwise_for, conv2d_depthwise_grad_weight_for, conv2d_grouped_for, conv2d_grouped_five_for,
          conv2d_grouped_grad_weight_for, conv2d_stem_for, conv2d_stem_grad_input_for,
          conv2d_stem_lines_grad_weight_for, conv2d_stem_grad_weight_for, conv2d_direct_for,
          conv2d_direct_grad_weight_for>() &&
    offer<conv2d_fold_registry, folds>();

}  // namespace
}  // namespace groupconv
