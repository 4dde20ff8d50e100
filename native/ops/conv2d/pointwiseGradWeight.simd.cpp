// gradWeight of 1x1 convolutions with one group, both sides blocked: dweight = dy * transposed x over the
// pixels, straight into the row-major dweight.
//
// Loops: chunk of pixels -> group of outputs -> tile of inputs -> tile of outputs. A stride or padding only
// changes the steps and the first pixel. With few channels, a chunk is too little work for the memory to keep
// up by itself: the next one is prefetched.
#include "ops/conv2d/gradWeight.kernels.h"

namespace groupconv {
namespace {

constexpr int64_t kAheadBytes = 256 * 1024;  // of a chunk that is prefetched: a quarter of a 1 MB L2

// Whether a thread's part of a chunk is one run of adjacent pixels per channel block, and small.
bool worth_prefetching(const PixelBox& chunk, const Rectangle& mine) {
  const int64_t channels = mine.major.end - mine.major.begin + mine.minor.end - mine.minor.begin;
  return chunk.images == 1 && chunk.rows == 1 && chunk.x_pixel == W &&
         channels * chunk.pixels * 4 <= kAheadBytes;
}

void grad_weight(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  const int64_t x_plane = int64_t{p.h} * p.w * W, dy_plane = int64_t{p.p} * p.q * W;
  const WeightMatrix m{b.dweight, p.c, p.k, p.c};
  const Range high = outputs_inside(p.p, p.h, p.stride_h, p.pad_top);
  const Range wide = outputs_inside(p.q, p.w, p.stride_w, p.pad_left);
  PixelBox box{p.n,
               high.end - high.begin,
               wide.end - wide.begin,
               ceil_div(p.c, W) * x_plane,
               p.stride_h * p.w * W,
               p.stride_w * W,
               x_plane,
               ceil_div(p.k, W) * dy_plane,
               p.q * W,
               dy_plane};
  if (box.rows * box.pixels == 0) box.images = box.rows = box.pixels = 0;
  if (p.stride_h == 1 && p.stride_w == 1 && box.pixels == p.w &&
      box.pixels == p.q) {  // rows without gaps: one row
    box.pixels *= box.rows;
    box.rows = 1;
  }
  const float* x =
      b.x + ((high.begin * p.stride_h - p.pad_top) * p.w + wide.begin * p.stride_w - p.pad_left) * W;
  const float* dy = b.dy + (high.begin * p.q + wide.begin) * W;

  parallel(context, [&](int thread, int threads) {
    const Rectangle mine = weight_part(p.k, p.c, thread, threads);
    bool resume = p.accumulate;
    const auto add = [&](PixelBox chunk, const float* x_at, const float* dy_at, const float* next_x,
                         const float* next_dy) {
      const bool ahead = worth_prefetching(chunk, mine);
      for (int64_t k = mine.major.begin; k < mine.major.end; k += kGroupOutputs)
        for (int64_t c = mine.minor.begin; c < mine.minor.end; c += kTileInputs * W) {
          chunk.next_x = ahead && k == mine.major.begin ? next_x : nullptr;
          chunk.next_dy = ahead && c == mine.minor.begin ? next_dy : nullptr;
          outer_products_of(chunk, x_at, dy_at, m, {k, min_of(mine.major.end, k + kGroupOutputs)}, c, resume);
        }
      resume = true;
    };
    PixelBox chunk = box;  // waits until the next one is known
    const float *x_at = nullptr, *dy_at = nullptr;
    each_chunk(box, [&](const PixelBox& next, int64_t x_offset, int64_t dy_offset) {
      if (x_at) add(chunk, x_at, dy_at, x + x_offset, dy + dy_offset);
      chunk = next;
      x_at = x + x_offset;
      dy_at = dy + dy_offset;
    });
    if (x_at)
      add(chunk, x_at, dy_at, nullptr, nullptr);
    else
      add(box, x, dy, nullptr, nullptr);  // nothing but padding was read
  });
}

constexpr Conv2dSolver solvers[] = {
    {"pointwise",
     [](const Conv2dProblem& p) {
       return p.pass == Conv2dPass::GradWeight && p.r == 1 && p.s == 1 && p.groups == 1 && p.x_block == W &&
              p.y_block == W;
     },
     grad_weight},
};

}  // namespace

namespace GROUPCONV_ISA {
extern const Conv2dTable conv2d_pointwise_grad_weight = {solvers, 1};
}

}  // namespace groupconv
