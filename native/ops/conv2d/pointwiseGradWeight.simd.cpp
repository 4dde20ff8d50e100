// gradWeight of 1x1 convolutions with one group, both sides blocked: dweight = dy * transposed x over the
// pixels, straight into the row-major dweight.
//
// Loops: chunk of pixels -> group of outputs -> tile of inputs -> tile of outputs. While a tile of inputs
// meets a group of outputs, what the next pair reads for the first time is prefetched: memory takes longer to
// bring it than the first of the outputs take.
#include "ops/conv2d/gradWeight.kernels.h"
#include "ops/conv2d/pointwiseSampling.kernels.h"

namespace groupconv {
namespace {

// Activations beyond this come from memory: prefetching gains 3 to 8 % there, and costs 1 % in a cache.
constexpr int64_t kCachedBytes = int64_t{6} << 20;

// A group of outputs by a tile of inputs, over a chunk of pixels. x and dy: those of channel 0.
struct Step {
  PixelBox chunk;
  const Element *x, *dy;
  int64_t c, blocks;  // the tile of inputs
  Range outputs;
  bool new_x, new_dy, resume;  // the chunk's first reader of these channels of x, of dy
};

// What a step reads first, to be prefetched by the one before.
GROUPCONV_INLINE Ahead first_read_by(const Step& step) {
  return {step.x + step.c / W * step.chunk.x_plane, step.new_x ? step.blocks : 0,
          step.dy + step.outputs.begin / W * step.chunk.dy_plane,
          step.new_dy ? ceil_div(step.outputs.end - step.outputs.begin, W) : 0};
}

void grad_weight(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  const int64_t pixels = int64_t{p.p} * p.q, plane = pixels * W;
  const int64_t x_image = ceil_div(p.c, W) * plane, dy_image = ceil_div(p.k, W) * plane;
  const PixelBox box{p.n, 1, pixels, x_image, 0, W, plane, dy_image, 0, plane};
  const WeightMatrix m{b.dweight, p.c, p.k, p.c};
  const Element* x = sampled(p, b, context);

  const bool prefetch = kElementBytes * (p.n * (box.x_image + box.dy_image)) > kCachedBytes;

  parallel(context, [&](int thread, int threads) {
    const Rectangle mine = weight_part(p.k, p.c, thread, threads);
    const auto run = [&](const Step& step, const Ahead& ahead) {
      outer_products_of(step.chunk, step.x, step.dy, m, step.outputs, step.c, step.blocks, step.resume,
                        ahead);
    };
    Step waiting{};  // until the next one is known
    bool some = false;
    const auto follow = [&](const PixelBox& chunk, int64_t x_offset, int64_t dy_offset) {
      const bool resume = p.accumulate || some;
      for (int64_t k = mine.major.begin; k < mine.major.end; k += kGroupOutputs)
        for (int64_t c = mine.minor.begin; c < mine.minor.end; c += waiting.blocks * W) {
          const Step next{chunk,
                          x + x_offset,
                          elements(b.dy) + dy_offset,
                          c,
                          tile_blocks(c, mine.minor.end),
                          {k, min_of(mine.major.end, k + kGroupOutputs)},
                          k == mine.major.begin,
                          c == mine.minor.begin,
                          resume};
          if (some) run(waiting, prefetch ? first_read_by(next) : Ahead());
          waiting = next;
          some = true;
        }
    };
    each_chunk(box, follow);
    if (some) run(waiting, {});
  });
}

constexpr Conv2dSolver solvers[] = {
    {"pointwise", [](const Conv2dProblem& p) { return p.pass == Conv2dPass::GradWeight && is_pointwise(p); },
     grad_weight, sampled_bytes},
};

}  // namespace

namespace GROUPCONV_ISA {
extern const Conv2dTable conv2d_pointwise_grad_weight = {solvers, 1};
}

}  // namespace groupconv
