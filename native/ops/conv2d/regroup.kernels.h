// Channels laid out for a kernel: every group takes `size` lanes, of which the first `per_group` hold
// channels and the rest are zero. Tensors in another layout go through a copy in the workspace.
//
// size is a multiple of W, so that groups begin at vectors, or a power of two below W, so that vectors hold
// whole groups whose lanes are reached by lane ^ i.
#pragma once
#include "ops/conv2d/tiling.kernels.h"

namespace groupconv {
namespace {

GROUPCONV_INLINE int64_t round_up(int64_t value, int64_t step) { return ceil_div(value, step) * step; }

struct Side {
  int64_t channels, per_group, size;
  int64_t height, width;
  int64_t block;  // of the tensor: W, or 1 for N C H W

  int64_t groups() const { return channels / per_group; }
  int64_t pixels() const { return height * width; }
  int64_t blocks() const { return ceil_div(groups() * size, W); }      // per image, in the kernel's layout
  int64_t tensor_blocks() const { return ceil_div(channels, block); }  // per image, in the tensor's layout
  bool is_native() const { return block == W && (channels == per_group || size == per_group); }
  // Elements of the copy, which a native side does not need; whole vectors of float32 may follow.
  int64_t copy_size(int64_t images) const {
    return is_native() ? 0 : round_up(images * blocks() * pixels(), kDotDepth) * W;
  }
  int64_t lane_of(int64_t channel) const { return channel / per_group * size + channel % per_group; }
  int64_t channel_of(int64_t lane) const {  // -1: padding
    const int64_t group = lane / size, within = lane % size;
    return group < groups() && within < per_group ? group * per_group + within : -1;
  }
};

struct Sides {
  bool in_lanes;  // vectors hold whole groups
  Side x, y;
};

// Multiply-adds of a vector per group decide between the two layouts.
GROUPCONV_INLINE Sides sides_of(const Conv2dProblem& p) {
  const int64_t c = p.c / p.groups, k = p.k / p.groups;
  int64_t size = 1;
  while (size < c || size < k) size *= 2;
  const int64_t padded = p.pass == Conv2dPass::Forward     ? c * round_up(k, W)
                         : p.pass == Conv2dPass::GradInput ? k * round_up(c, W)
                                                           : round_up(k, 4) * round_up(c, W);
  const bool in_lanes = p.groups > 1 && size < W && size * size < padded;
  return {in_lanes,
          {p.c, c, in_lanes ? size : round_up(c, W), p.h, p.w, p.x_block},
          {p.k, k, in_lanes ? size : round_up(k, W), p.p, p.q, p.y_block}};
}

// Lane i of the result is lane indices[i] of v.
GROUPCONV_INLINE Vec permute(Vec v, IntVec indices) {
#if defined(__GNUC__) && !defined(__clang__)
  return __builtin_shuffle(v, indices);
#else
  Vec result = v;
  for (int lane = 0; lane < W; ++lane) result[lane] = v[indices[lane]];
  return result;
#endif
}

// The vectors and lanes that one vector is put together from.
struct Recipe {
  int64_t blocks[W];
  IntVec lanes[W], used[W];
  int count = 0;

  void take(int lane, int64_t source_lane) {
    const int64_t block = source_lane / W;
    int i = 0;
    while (i < count && blocks[i] != block) ++i;
    if (i == count) {
      blocks[count] = block;
      lanes[count] = used[count] = IntVec{};
      ++count;
    }
    lanes[i][lane] = static_cast<int32_t>(source_lane % W);
    used[i][lane] = -1;
  }
  GROUPCONV_INLINE Vec make(const Element* source, int64_t plane) const {
    IntVec made{};
    for (int i = 0; i < count; ++i)
      made |= reinterpret_cast<IntVec>(permute(load(source + blocks[i] * plane), lanes[i])) & used[i];
    return reinterpret_cast<Vec>(made);
  }
};

constexpr int64_t kCopyPixels = 1024;  // of one block, copied at a time: small enough to balance threads

// body(image, block, pixel range) over [images, blocks, pixels].
template <class Body>
GROUPCONV_INLINE void each_piece(int64_t images, int64_t blocks, int64_t pixels,
                                 const ExecutionContext& context, const Body& body) {
  const int64_t pieces = ceil_div(pixels, kCopyPixels);
  parallel_for(context, images * blocks * pieces, [&](int64_t i) {
    body(i / pieces / blocks, i / pieces % blocks, part(pixels, i % pieces, pieces));
  });
}

// tensor [N, C/block, pixels, block] -> copy [N, blocks, pixels, W]
GROUPCONV_INLINE void copy_in(const Side& side, int64_t images, const Element* tensor, Element* copy,
                              const ExecutionContext& context) {
  const int64_t pixels = side.pixels(), plane = pixels * side.block,
                tensor_image = side.tensor_blocks() * plane;
  each_piece(images, side.blocks(), pixels, context, [&](int64_t image, int64_t block, Range range) {
    const Element* from = tensor + image * tensor_image;
    Element* to = copy + (image * side.blocks() + block) * pixels * W;
    if (side.block == 1) {
      for (int64_t pixel = range.begin; pixel < range.end; ++pixel) store(to + pixel * W, zero());
      for (int64_t lane = 0; lane < W; ++lane) {
        const int64_t channel = side.channel_of(block * W + lane);
        for (int64_t pixel = range.begin; pixel < range.end && channel >= 0; ++pixel)
          to[pixel * W + lane] = from[channel * pixels + pixel];
      }
      return;
    }
    Recipe recipe;
    for (int lane = 0; lane < W; ++lane) {
      const int64_t channel = side.channel_of(block * W + lane);
      if (channel >= 0) recipe.take(lane, channel);
    }
    for (int64_t pixel = range.begin; pixel < range.end; ++pixel)
      store(to + pixel * W, recipe.make(from + pixel * W, plane));
  });
}

// The way back, with what the kernel would have done at its stores.
GROUPCONV_INLINE void copy_out(const Side& side, int64_t images, const Element* copy, Element* tensor,
                               bool accumulate, const Epilogue& epilogue, const ExecutionContext& context) {
  const int64_t pixels = side.pixels(), plane = pixels * W, copy_image = side.blocks() * plane;
  each_piece(images, side.tensor_blocks(), pixels, context, [&](int64_t image, int64_t block, Range range) {
    const Element* from = copy + image * copy_image;
    const int64_t offset = (image * side.tensor_blocks() + block) * pixels * side.block;
    Element* to = tensor + offset;
    const Element* residual = epilogue.residual ? epilogue.residual + offset : nullptr;
    if (side.block == 1) {
      const int64_t lane = side.lane_of(block);
      from += lane / W * plane + lane % W;
      for (int64_t pixel = range.begin; pixel < range.end; ++pixel) {
        float sum = from[pixel * W] + (epilogue.bias ? epilogue.bias[block] : 0.0f);
        if (accumulate) sum += to[pixel];
        if (residual) sum += residual[pixel];
        to[pixel] = Element(activate(broadcast(sum), epilogue.activation)[0]);
      }
      return;
    }
    Recipe recipe;
    for (int lane = 0; lane < W; ++lane)
      if (block * W + lane < side.channels) recipe.take(lane, side.lane_of(block * W + lane));
    const Vec bias = epilogue.bias ? load(epilogue.bias + block * W) : zero();
    for (int64_t pixel = range.begin; pixel < range.end; ++pixel) {
      Vec sum = recipe.make(from + pixel * W, plane) + bias;
      if (accumulate) sum += load(to + pixel * W);
      if (residual) sum += load(residual + pixel * W);
      store(to + pixel * W, activate(sum, epilogue.activation));
    }
  });
}

}  // namespace
}  // namespace groupconv
