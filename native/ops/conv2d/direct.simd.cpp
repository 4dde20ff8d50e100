// The blocked path for every convolution that no special solver takes: any kernel, stride, dilation, padding,
// groups and layout. forward reads x, gradInput reads dy through the same indirect kernel: one phase of its
// target's pixels (those that meet the same taps) after the other.
//
// Loops: phase -> chunk of tiles (their pixel lists fit in L1, their source in L2) -> portion of the taps ->
// group -> depth of input blocks -> pair of output blocks -> tile. Groups of awkward sizes and plain layouts
// go through copies (regroup.kernels.h).
#include "cpu/moments.h"
#include "ops/conv2d/directLists.kernels.h"
#include "ops/conv2d/regroup.kernels.h"

namespace groupconv {
namespace {

constexpr int kPortion = 64;  // taps at once; more go through partial sums in the target
// Taps x channels at once: 72 KB of weights for W = 16; 288 to 1152 measured alike on Zen 4.
constexpr int64_t kDepth = 576;
constexpr int64_t kChunkBytes = 320 * 1024;  // of the source, as in pointwise

// One panel of weights against the tiles of the table.
void run_panel(const Correlation& m, const Table& table, int64_t image, int64_t unit, int64_t pair,
               Range depth, bool first, bool last) {
  const int64_t blocks = min_of(2, m.output_blocks - 2 * pair), o = unit * m.output_blocks + 2 * pair;
  const int64_t unit_weights = m.output_blocks * m.input_blocks * m.slots * m.lanes() * W;
  const int64_t target =
      (image * m.units * m.output_blocks + o) * m.target_plane();  // [N, units, blocks, H, W, W]
  DirectTile tile;
  tile.x = m.source + ((image * m.units + unit) * m.input_blocks + depth.begin) * m.source_plane();
  tile.x_plane = m.source_plane();
  tile.input_blocks = depth.end - depth.begin;
  tile.last_lanes = depth.end == m.input_blocks ? m.last_lanes : W;
  tile.weight = m.weight + unit * unit_weights +
                (2 * pair * m.input_blocks + depth.begin * blocks) * m.slots * m.lanes() * W;
  tile.slots = m.slots;
  tile.y = m.target + target;
  tile.y_plane = m.target_plane();
  tile.bias = first && m.epilogue.bias ? m.epilogue.bias + o * W : nullptr;
  // At the first store: the residual may be y.
  tile.residual = first && m.epilogue.residual ? m.epilogue.residual + target : nullptr;
  tile.resume = !first || m.accumulate;
  tile.activation = last ? m.epilogue.activation : Activation::None;
  int64_t pixels = 0;
  for (int64_t i = 0; i < table.chunk.end - table.chunk.begin; ++i) {
    tile.pixels = table.tiles + i;
    pixels += tile.pixels->count;
    if (m.lanes_size)
      direct_lanes_tile(m.lanes_size, tile);
    else if (blocks == 2)
      direct_tile<2>(tile);
    else
      direct_tile<1>(tile);
  }
  const PlanesInTheMaking planes(m.moments, m.target, m.target_height * m.target_width);
  for (int64_t block = 0; last && block < blocks; ++block)
    planes.stored(image * m.units * m.output_blocks + o + block, pixels);
}

// One thread's part of a phase: tiles of all images, pairs of output blocks of all units.
void run_part(const Correlation& m, const Axis& high, const Axis& wide, int64_t slots_wide, Range tiles,
              Range outputs) {
  if (outputs.begin == outputs.end) return;
  Table table;
  const int64_t taps = high.taps * wide.taps,
                tiles_per_image = ceil_div(high.count * wide.count, kTilePixels);
  const int64_t portions = max_of(1, ceil_div(taps, kPortion)), portion_taps = ceil_div(taps, portions);
  const int64_t depths =
      max_of(1, min_of(m.input_blocks, ceil_div(m.input_blocks * W * portion_taps, kDepth)));
  const int64_t source_bytes = ceil_div(m.input_blocks, depths) * W * kElementBytes * kTilePixels *
                               high.source_step * wide.source_step;
  const int64_t chunk_tiles = max_of(
      1, min_of(min_of(kTableTiles, kTableTaps / max_of(1, portion_taps)), kChunkBytes / source_bytes));
  for (int64_t t = tiles.begin; t < tiles.end;) {
    const int64_t image = t / tiles_per_image, from = t % tiles_per_image;
    const int64_t end = min_of(tiles_per_image, from + min_of(chunk_tiles, tiles.end - t));
    for (int64_t n = 0; n < portions; ++n) {
      table.build(m, high, wide, slots_wide, tiles_per_image, {from, end}, part(taps, n, portions));
      for (int64_t o = outputs.begin; o < outputs.end;) {
        const int64_t unit = o / m.pairs(), unit_end = min_of(outputs.end, (unit + 1) * m.pairs());
        for (int64_t d = 0; d < depths; ++d)
          for (int64_t pair = o; pair < unit_end; ++pair)
            run_panel(m, table, image, unit, pair % m.pairs(), part(m.input_blocks, d, depths),
                      n == 0 && d == 0, n + 1 == portions && d + 1 == depths);
        o = unit_end;
      }
    }
    t += end - from;
  }
}

// Threads take output blocks where that reads less than all of them reading all weights, else pixels.
void run_phase(const Correlation& m, const Axis& high, const Axis& wide, int64_t slots_wide, int thread,
               int threads) {
  const int64_t tiles = m.images * ceil_div(high.count * wide.count, kTilePixels),
                outputs = m.units * m.pairs();
  const bool by_outputs = m.units >= threads || tiles < 4 * threads ||
                          m.output_blocks * W * m.slots > m.images * m.source_height * m.source_width;
  const Rectangle mine =
      by_outputs ? rectangle(outputs, tiles, thread, threads) : rectangle(tiles, outputs, thread, threads);
  if (by_outputs)
    run_part(m, high, wide, slots_wide, mine.minor, mine.major);
  else
    run_part(m, high, wide, slots_wide, mine.major, mine.minor);
}

Correlation correlation(const Conv2dProblem& p, const Sides& sides, const Side& source, const Side& target,
                        const Element* weight) {
  Correlation m{};
  m.weight = weight;
  m.source_height = source.height, m.source_width = source.width;
  m.target_height = target.height, m.target_width = target.width;
  m.images = p.n;
  m.slots = int64_t{p.r} * p.s;
  m.units = sides.in_lanes ? source.blocks() : p.groups;
  m.input_blocks = sides.in_lanes ? 1 : source.size / W;
  m.output_blocks = sides.in_lanes ? 1 : target.size / W;
  m.last_lanes = sides.in_lanes ? W : source.per_group - (m.input_blocks - 1) * W;
  m.lanes_size = sides.in_lanes ? source.size : 0;
  return m;
}

// From one tensor to the other, each perhaps through its copy in the workspace: the source's, then the
// target's.
template <class Phases>
void correlate(const Conv2dProblem& p, const Side& source, const Side& target, Correlation m,
               const Element* from, Element* to, const Epilogue& epilogue, void* workspace,
               const ExecutionContext& context, const Phases& phases) {
  Element* copy = static_cast<Element*>(workspace);
  Element* target_copy = copy + source.copy_size(p.n);
  m.source = source.is_native() ? from : copy;
  m.target = target.is_native() ? to : target_copy;
  if (target.is_native())
    m.accumulate = p.accumulate, m.epilogue = epilogue;
  else
    m.accumulate = false, m.epilogue = {nullptr, nullptr, Activation::None}, m.moments = {};
  if (!source.is_native()) copy_in(source, p.n, from, copy, context);
  parallel(context, [&](int thread, int threads) { phases(m, thread, threads); });
  if (!target.is_native()) copy_out(target, p.n, target_copy, to, p.accumulate, epilogue, context);
}

void forward(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  const Sides sides = sides_of(p);
  Correlation m = correlation(p, sides, sides.x, sides.y, elements(b.weight));
  m.moments = b.moments;
  correlate(p, sides.x, sides.y, m, elements(b.x), elements(b.y),
            {b.bias, elements(b.residual), p.activation}, b.workspace, context,
            [&p](const Correlation& ready, int thread, int threads) {
              run_phase(ready, forward_axis(p.p, p.r, p.stride_h, p.dilation_h, p.pad_top),
                        forward_axis(p.q, p.s, p.stride_w, p.dilation_w, p.pad_left), p.s, thread, threads);
            });
}

void grad_input(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  const Sides sides = sides_of(p);
  const Correlation m = correlation(p, sides, sides.y, sides.x, elements(b.weight));
  correlate(p, sides.y, sides.x, m, elements(b.dy), elements(b.dx), {nullptr, nullptr, Activation::None},
            b.workspace, context, [&p](const Correlation& ready, int thread, int threads) {
              for (int64_t a = 0; a < p.stride_h; ++a)
                for (int64_t e = 0; e < p.stride_w; ++e) {
                  const Axis high = grad_input_axis(p.h, p.r, p.stride_h, p.dilation_h, p.pad_top, a);
                  const Axis wide = grad_input_axis(p.w, p.s, p.stride_w, p.dilation_w, p.pad_left, e);
                  run_phase(ready, high, wide, p.s, thread, threads);
                }
            });
}

size_t workspace_bytes(const Conv2dProblem& p) {
  const Sides sides = sides_of(p);
  return sizeof(Element) * (sides.x.copy_size(p.n) + sides.y.copy_size(p.n));
}

size_t prepared_bytes(const Conv2dProblem& p) {
  const Sides sides = sides_of(p);
  const int64_t inputs = sides.in_lanes ? sides.x.blocks() * W : p.groups * sides.x.size;
  return sizeof(Element) * p.r * p.s * inputs * sides.y.size;
}

// [unit, pair of output blocks][input blocks, R * S, W, blocks, W], or [unit, R * S, size, W].
void prepare(const Conv2dProblem& p, const float* weight, float* packed, const ExecutionContext& context) {
  const Sides sides = sides_of(p);
  const bool transposed = p.pass == Conv2dPass::GradInput;
  const Side &source = transposed ? sides.y : sides.x, &target = transposed ? sides.x : sides.y;
  const Correlation m = correlation(p, sides, source, target, nullptr);
  const int64_t slots = m.slots, per_output = sides.x.per_group * slots, lanes = m.lanes();
  // weight [K, C / groups, slots] of a pair of channels, or null.
  const auto find = [&](int64_t in, int64_t out) -> const float* {
    if (in < 0 || out < 0) return nullptr;
    const int64_t k = transposed ? in : out, c = transposed ? out : in;
    return weight + k * per_output + c % sides.x.per_group * slots;
  };
  parallel_for(context, m.units * m.output_blocks * m.input_blocks, [&](int64_t i) {
    const int64_t c = i % m.input_blocks, o = i / m.input_blocks % m.output_blocks;
    const int64_t unit = i / m.input_blocks / m.output_blocks;
    const int64_t blocks = o / 2 * 2 + 1 < m.output_blocks ? 2 : 1;
    Element* to = elements(packed) +
                  (unit * m.output_blocks * m.input_blocks + o / 2 * 2 * m.input_blocks + c * blocks) *
                      slots * lanes * W +
                  o % 2 * W;  // [slots, lanes, blocks, W]
    for (int64_t lane = 0; lane < lanes; ++lane)
      for (int64_t out = 0; out < W; ++out) {
        const int64_t target_lane = (unit * m.output_blocks + o) * W + out;
        const int64_t source_lane =
            sides.in_lanes ? unit * W + (out ^ lane) : (unit * m.input_blocks + c) * W + lane;
        const float* from = find(source.channel_of(source_lane), target.channel_of(target_lane));
        for (int64_t slot = 0; slot < slots; ++slot)
          to[((slot * lanes + lane) * blocks) * W + out] = Element(from ? from[slot] : 0.0f);
      }
  });
}

constexpr Conv2dSolver solvers[] = {
    {"direct", [](const Conv2dProblem& p) { return p.pass == Conv2dPass::Forward; }, forward, workspace_bytes,
     prepared_bytes, prepare},
    {"direct", [](const Conv2dProblem& p) { return p.pass == Conv2dPass::GradInput; }, grad_input,
     workspace_bytes, prepared_bytes, prepare},
};

}  // namespace

namespace GROUPCONV_ISA {
extern const Conv2dTable conv2d_direct = {solvers, 2};
}

}  // namespace groupconv
