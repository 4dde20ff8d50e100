// Channel multipliers: K = m * C with groups == C is multiplier 1 on an x whose channels are repeated m
// times. The copies live in the workspace; gradInput adds up the m planes that came from one channel.
#pragma once
#include "cpu/context.h"
#include "cpu/element.h"
#include "ops/conv2d/conv2d.h"

namespace groupconv {
namespace {

// One channel is a stem. With K <= 4, unblocked, nothing is left to vectorise.
inline bool is_depthwise(const Conv2dProblem& p) { return p.groups == p.c && p.c > 1 && p.y_block == W; }
inline bool has_multiplier(const Conv2dProblem& p) { return p.k != p.c; }

// Elements of x, or dx, with K channels.
inline int64_t repeated_size(const Conv2dProblem& p) {
  return has_multiplier(p) ? p.n * ceil_div(p.k, W) * p.h * p.w * W : 0;
}

// Offset of channel c, pixel 0 in an image of [C / block, pixels, block].
inline int64_t channel_offset(int64_t c, int64_t pixels, int64_t block) {
  return c / block * pixels * block + c % block;
}

// repeated [N, K/W, H, W, lanes]: channel k is channel k / m of x; pad lanes are zero.
inline void repeat_channels(const Conv2dProblem& p, const Element* x, Element* repeated,
                            const ExecutionContext& context) {
  const int64_t blocks = ceil_div(p.k, W), pixels = int64_t{p.h} * p.w, multiplier = p.k / p.c;
  const int64_t image = ceil_div(p.c, p.x_block) * pixels * p.x_block;
  parallel_for(context, p.n * blocks, [&](int64_t i) {
    Element* out = repeated + i * pixels * W;
    for (int64_t lane = 0; lane < W; ++lane) {
      const int64_t k = i % blocks * W + lane;
      if (k >= p.k) {
        for (int64_t pixel = 0; pixel < pixels; ++pixel) out[pixel * W + lane] = Element(0);
      } else {
        const Element* in = x + i / blocks * image + channel_offset(k / multiplier, pixels, p.x_block);
        for (int64_t pixel = 0; pixel < pixels; ++pixel) out[pixel * W + lane] = in[pixel * p.x_block];
      }
    }
  });
}

// dx[c] = (dx[c] where accumulating) + sum of repeated[c * m .. c * m + m - 1]; pad lanes of dx become zero.
inline void sum_repeated(const Conv2dProblem& p, const Element* repeated, Element* dx,
                         const ExecutionContext& context) {
  const int64_t blocks = ceil_div(p.c, p.x_block), pixels = int64_t{p.h} * p.w, multiplier = p.k / p.c;
  const int64_t image = ceil_div(p.k, W) * pixels * W;
  parallel_for(context, p.n * blocks, [&](int64_t i) {
    for (int64_t lane = 0; lane < p.x_block; ++lane) {
      const int64_t c = i % blocks * p.x_block + lane;
      Element* out = dx + i * pixels * p.x_block + lane;
      if (!p.accumulate || c >= p.c)
        for (int64_t pixel = 0; pixel < pixels; ++pixel) out[pixel * p.x_block] = Element(0);
      for (int64_t k = c * multiplier; c < p.c && k < (c + 1) * multiplier; ++k) {
        const Element* in = repeated + i / blocks * image + channel_offset(k, pixels, W);
        for (int64_t pixel = 0; pixel < pixels; ++pixel)
          out[pixel * p.x_block] = Element(out[pixel * p.x_block] + in[pixel * W]);
      }
    }
  });
}

}  // namespace
}  // namespace groupconv
