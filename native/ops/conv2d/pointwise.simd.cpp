// 1x1 convolutions with one group, both sides blocked: a blocked matrix product over pixels.
//
// Loops: chunk of tiles (its x fits in L2) -> up to kDepth input blocks (their weights fit in L2, too) ->
// pair of output blocks -> tile. While one chunk is worked on, the next one, or the next pair's weights, is
// prefetched. gradInput is the same product with transposed weights. A stride or padding goes through the
// sampled pixels alone: gathered into the workspace (forward), or computed there and scattered (gradInput).
#include "cpu/moments.h"
#include "ops/conv2d/pointwise.kernels.h"
#include "ops/conv2d/pointwiseSampling.kernels.h"

namespace groupconv {
namespace {

// Input blocks whose weights are walked per tile. AVX2's six pixels a weight ask for weights in L1: 256
// channels of two blocks are half of it (Zen 3, conv4: 95 instead of 84 % of the peak with 1024).
// All of them where y would round the partial sums that it holds.
constexpr int64_t kDepth = kElementBytes < 4 ? INT32_MAX : (W == 8 ? 256 : 1024) / W;
constexpr int64_t kChunkBytes = 320 * 1024;  // of x; 160 to 640 measured within 3 % on Zen 4 (1 MB L2)

// y[n, k, pixel] = sum over c of weight[k, c] * x[n, c, pixel], all blocked.
struct Product {
  const Element *x, *weight;
  Element* y;
  int64_t images, pixels, input_blocks, output_blocks;
  bool accumulate;
  Epilogue epilogue;
  PlaneMoments moments{};
};

// Tiles of an image, in order: the first ones are one pixel wider than the others.
struct Tiling {
  int64_t tiles, width, wider;  // of one image
  explicit Tiling(int64_t pixels)
      : tiles(ceil_div(pixels, kTilePixels)), width(pixels / tiles), wider(pixels % tiles) {}
  int64_t first(int64_t tile) const { return tile * width + min_of(tile, wider); }  // pixel
};

// Tiles of one width in one image.
struct TileRun {
  int64_t image, first, width, tiles;  // first: pixel
};
// The longest run that begins with `tile`, at most `most` tiles.
GROUPCONV_INLINE TileRun run_at(const Tiling& tiling, int64_t tile, int64_t most) {
  const int64_t image = tile / tiling.tiles, t = tile % tiling.tiles;
  const bool wider = t < tiling.wider;
  return {image, tiling.first(t), tiling.width + wider,
          min_of(most, (wider ? tiling.wider : tiling.tiles) - t)};
}
GROUPCONV_INLINE const Element* input_of(const Product& m, const TileRun& at, int64_t c) {
  return m.x + ((at.image * m.input_blocks + c) * m.pixels + at.first) * W;  // [N, C/W, pixels, W]
}

// One panel of weights (pair of output blocks, range of input blocks) against the tiles of a chunk.
struct Panel {
  Range chunk, depth;
  int64_t output, next_chunk_end;  // the next chunk is [chunk.end, next_chunk_end)
  int64_t turn, turns;             // which of the chunk's panels this is
  const Element* next_weight;      // null: none
};

void run_panel(const Product& m, const Tiling& tiling, const Panel& panel) {
  const int64_t plane = m.pixels * W, o = panel.output, blocks = min_of(2, m.output_blocks - o);
  const int64_t depth = panel.depth.end - panel.depth.begin, tiles = panel.chunk.end - panel.chunk.begin;
  const bool first = panel.depth.begin == 0, last = panel.depth.end == m.input_blocks;
  // The next pair's weights come in during the first 16 tiles.
  const int64_t weight_tiles = min_of(tiles, 16),
                weight_lines = ceil_div(blocks * W * W / kLine, weight_tiles);
  // The next chunk's tiles come in bit by bit, one bit per panel.
  const int64_t tile_lines = ceil_div(kTilePixels * W, kLine), bit = ceil_div(tile_lines, panel.turns);
  const bool next_chunk = panel.next_chunk_end > panel.chunk.end;
  const PlanesInTheMaking planes(m.moments, m.y, m.pixels);
  PointwiseRun run;
  run.x_plane = run.y_plane = plane;
  run.weight = m.weight + (o * m.input_blocks + panel.depth.begin * blocks) * W * W;
  run.input_blocks = depth;
  run.bias = first && m.epilogue.bias ? m.epilogue.bias + o * W : nullptr;
  run.resume = !first || m.accumulate;
  run.activation = last ? m.epilogue.activation : Activation::None;
  for (int64_t t = panel.chunk.begin; t < panel.chunk.end; t += run.tiles) {
    const TileRun at = run_at(tiling, t, panel.chunk.end - t);
    run.tiles = at.tiles;
    run.prefetch = {};
    const int64_t done = t - panel.chunk.begin;
    if (t + tiles < panel.next_chunk_end) {
      const TileRun next = run_at(tiling, t + tiles, panel.next_chunk_end - t - tiles);
      run.tiles = min_of(run.tiles, next.tiles);
      const int64_t line = panel.turn * bit;
      run.prefetch = {input_of(m, next, panel.depth.begin) + line * kLine,
                      max_of(0, min_of(bit, ceil_div(next.width * W, kLine) - line)), plane, next.width * W,
                      run.tiles};
    } else if (!next_chunk && panel.next_weight && done < weight_tiles) {
      run.prefetch = {panel.next_weight + done * depth * weight_lines * kLine, weight_lines,
                      weight_lines * kLine, depth * weight_lines * kLine, weight_tiles - done};
    }
    const int64_t offset =
        ((at.image * m.output_blocks + o) * m.pixels + at.first) * W;  // [N, K/W, pixels, W]
    run.x = input_of(m, at, panel.depth.begin);
    run.y = m.y + offset;
    // At the first store: the residual may be y.
    run.residual = first && m.epilogue.residual ? m.epilogue.residual + offset : nullptr;
    if (blocks == 2)
      run_pointwise<2>(at.width, run);
    else
      run_pointwise<1>(at.width, run);
    for (int64_t block = 0; last && block < blocks; ++block)
      planes.stored(at.image * m.output_blocks + o + block, at.width * run.tiles);
  }
}

// `outputs` counts pairs of output blocks.
void run_part(const Product& m, const Tiling& tiling, Range tiles, Range outputs) {
  if (outputs.begin == outputs.end) return;
  const int64_t depths = ceil_div(m.input_blocks, kDepth), depth = ceil_div(m.input_blocks, depths);
  const int64_t count = tiles.end - tiles.begin;
  int64_t chunk_tiles = max_of(1, kChunkBytes / (depth * W * kElementBytes * kTilePixels));
  if (count <= chunk_tiles * 5 / 4) chunk_tiles = max_of(1, count);
  for (int64_t t = tiles.begin; t < tiles.end; t += chunk_tiles) {
    const Range chunk{t, min_of(tiles.end, t + chunk_tiles)};
    for (int64_t d = 0; d < depths; ++d) {
      const Range range = part(m.input_blocks, d, depths);
      for (int64_t o = outputs.begin; o < outputs.end; ++o) {
        Panel panel{chunk,
                    range,
                    2 * o,
                    min_of(tiles.end, chunk.end + chunk_tiles),
                    o - outputs.begin,
                    outputs.end - outputs.begin,
                    nullptr};
        if (2 * o + 3 < m.output_blocks && o + 1 < outputs.end)
          panel.next_weight = m.weight + ((2 * o + 2) * m.input_blocks + range.begin * 2) * W * W;
        run_panel(m, tiling, panel);
      }
    }
  }
}

// Threads take output blocks where the weights are what has to be read most, else pixels.
void multiply(const Product& m, const ExecutionContext& context) {
  const Tiling tiling(m.pixels);
  const int64_t tiles = m.images * tiling.tiles, outputs = ceil_div(m.output_blocks, 2);
  parallel(context, [&](int thread, int threads) {
    const bool weights_outweigh = m.output_blocks * W > m.images * m.pixels || tiles < 4 * threads;
    const Rectangle mine = weights_outweigh ? rectangle(outputs, tiles, thread, threads)
                                            : rectangle(tiles, outputs, thread, threads);
    if (weights_outweigh)
      run_part(m, tiling, mine.minor, mine.major);
    else
      run_part(m, tiling, mine.major, mine.minor);
  });
}

// The adjoint: dx at the sampled pixels, zero (or, accumulating, nothing) elsewhere.
void scatter(const Conv2dProblem& p, const Element* sampled, int64_t planes, Element* dx,
             const ExecutionContext& context) {
  parallel_for(context, planes * p.h, [&](int64_t i) {
    Element* to = dx + i * p.w * W;
    if (!p.accumulate)
      for (int64_t w = 0; w < p.w; ++w) store(to + w * W, zero());
    const int64_t up = i % p.h + p.pad_top;
    if (up % p.stride_h || up / p.stride_h >= p.p) return;
    const Element* from = sampled + (i / p.h * p.p + up / p.stride_h) * p.q * W;
    for (int64_t q = 0; q < p.q; ++q) {
      const int64_t w = q * p.stride_w - p.pad_left;
      if (w < 0 || w >= p.w) continue;
      store(to + w * W, p.accumulate ? load(to + w * W) + load(from + q * W) : load(from + q * W));
    }
  });
}

void forward(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  multiply({sampled(p, b, context),
            elements(b.weight),
            elements(b.y),
            p.n,
            int64_t{p.p} * p.q,
            ceil_div(p.c, W),
            ceil_div(p.k, W),
            false,
            {b.bias, elements(b.residual), p.activation},
            b.moments},
           context);
}

void grad_input(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  const int64_t output_blocks = ceil_div(p.c, W);
  const bool dense = is_dense(p);
  Element* dx = dense ? elements(b.dx) : static_cast<Element*>(b.workspace);
  multiply({elements(b.dy),
            elements(b.weight),
            dx,
            p.n,
            int64_t{p.p} * p.q,
            ceil_div(p.k, W),
            output_blocks,
            dense && p.accumulate,
            {nullptr, nullptr, Activation::None}},
           context);
  if (!dense) scatter(p, dx, p.n * output_blocks, elements(b.dx), context);
}

size_t prepared_bytes(const Conv2dProblem& p) { return sizeof(Element) * packed_pointwise_size(p.c, p.k); }
void prepare_forward(const Conv2dProblem& p, const float* weight, float* packed,
                     const ExecutionContext& context) {
  pack_pointwise(weight, p.c, p.k, 1, p.c, elements(packed), context);
}
void prepare_grad_input(const Conv2dProblem& p, const float* weight, float* packed,
                        const ExecutionContext& context) {
  pack_pointwise(weight, p.k, p.c, p.c, 1, elements(packed), context);
}

constexpr Conv2dSolver solvers[] = {
    {"pointwise", [](const Conv2dProblem& p) { return p.pass == Conv2dPass::Forward && is_pointwise(p); },
     forward, sampled_bytes, prepared_bytes, prepare_forward},
    {"pointwise", [](const Conv2dProblem& p) { return p.pass == Conv2dPass::GradInput && is_pointwise(p); },
     grad_input, sampled_bytes, prepared_bytes, prepare_grad_input},
};

}  // namespace

namespace GROUPCONV_ISA {
extern const Conv2dTable conv2d_pointwise = {solvers, 2};
}

}  // namespace groupconv
