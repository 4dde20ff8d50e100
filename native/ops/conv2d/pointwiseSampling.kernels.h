// Which pixels of x a 1x1 convolution sees: all of them, or, with a stride or padding, a sample, which is
// gathered first.
#pragma once
#include "cpu/context.h"
#include "cpu/element.h"
#include "ops/conv2d/conv2d.h"

namespace groupconv {
namespace {

GROUPCONV_INLINE bool is_pointwise(const Conv2dProblem& p) {
  return p.r == 1 && p.s == 1 && p.groups == 1 && p.x_block == W && p.y_block == W;
}
// Every input pixel is an output pixel.
GROUPCONV_INLINE bool is_dense(const Conv2dProblem& p) {
  return p.stride_h == 1 && p.stride_w == 1 && p.p == p.h && p.q == p.w && p.pad_top == 0 && p.pad_left == 0;
}

// sampled[plane, p, q] = x[plane, p * stride_h - top, …], zero in the padding. planes: N * C/W.
inline void gather(const Conv2dProblem& p, const Element* x, int64_t planes, Element* sampled,
                   const ExecutionContext& context) {
  parallel_for(context, planes * p.p, [&](int64_t i) {
    const int64_t h = i % p.p * p.stride_h - p.pad_top;
    const Element* from = x + (i / p.p * p.h + h) * p.w * W;
    Element* to = sampled + i * p.q * W;
    for (int64_t q = 0; q < p.q; ++q) {
      const int64_t w = q * p.stride_w - p.pad_left;
      store(to + q * W, h >= 0 && h < p.h && w >= 0 && w < p.w ? load(from + w * W) : zero());
    }
  });
}

inline size_t sampled_bytes(const Conv2dProblem& p) {
  return is_dense(p) ? 0 : sizeof(Element) * p.n * ceil_div(p.c, W) * W * p.p * p.q;
}

// x at the output pixels, [N, C/W, P, Q, W]: x itself, or a copy in the workspace.
inline const Element* sampled(const Conv2dProblem& p, const Conv2dBuffers& b,
                              const ExecutionContext& context) {
  if (is_dense(p)) return elements(b.x);
  gather(p, elements(b.x), p.n * ceil_div(p.c, W), static_cast<Element*>(b.workspace), context);
  return static_cast<const Element*>(b.workspace);
}

}  // namespace
}  // namespace groupconv
