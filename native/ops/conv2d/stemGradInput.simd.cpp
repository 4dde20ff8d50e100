// Stem, gradInput: dx[n, c, h, w] = sum over k, r, s of weight[k, c, r, s] * dy[n, k, p, q] where p * stride
// + r reaches h. Lanes hold output channels: a tile of a few columns of one phase of the stride x all input
// channels stays in registers, each dy vector meets the weights of every channel, and the lanes are added up
// at the end.
#include "ops/conv2d/conv2d.taps.h"
#include "ops/conv2d/stem.kernels.h"

namespace groupconv {
namespace {

constexpr int kSums = kRegisters == 32 ? 24 : 12;  // registers left beside weights of 4 channels and one dy
constexpr int columns_of(int channels) { return channels == 1 ? kSums / 2 : kSums / channels; }

struct InputTile {
  const Conv2dProblem& p;
  const Element *dy, *weight;  // of one image; [K/W, C, R, S, lanes]
  const Taps &rows, &columns;
  int64_t row;  // counts rows of this phase
  Element* dx;  // of column 0 of this phase, channel 0
};

// Lane i of the result is the sum of the lanes of v[i], in a fixed tree: half as many vectors at every step.
template <int D = 1>
GROUPCONV_INLINE Vec add_lanes(Vec (&v)[W]) {
  GROUPCONV_UNROLL
  for (int i = 0; i < W; i += 2 * D) {
    exchange<D>(v[i], v[i + D], typename MakeIndices<W>::type{});
    v[i] += v[i + D];
  }
  if constexpr (2 * D < W)
    return add_lanes<2 * D>(v);
  else
    return v[0];
}

// Columns i .. i + count - 1 of the phase; unless Edge, all of a tile, and all dy columns lie inside.
template <int Channels, bool Edge>
GROUPCONV_KERNEL void input_tile(const InputTile& tile, int64_t i, int64_t count) {
  constexpr int Columns = columns_of(Channels);
  const Conv2dProblem& p = tile.p;
  const int64_t q_end = p.q, blocks = ceil_div(p.k, W), kernel = int64_t{p.r} * p.s;
  Vec sums[Channels * Columns] = {};
  for (int64_t block = 0; block < blocks; ++block)
    for (int a = 0; a < tile.rows.count; ++a) {
      const int64_t row = tile.row + tile.rows.offset[a];
      if (row < 0 || row >= p.p) continue;
      for (int t = 0; t < tile.columns.count; ++t) {
        const int64_t q = i + tile.columns.offset[t];
        const Element* dy = tile.dy + ((block * p.p + row) * q_end + q) * W;
        const Element* weight =
            tile.weight + (block * Channels * kernel + tile.rows.index[a] * p.s + tile.columns.index[t]) * W;
        Vec weights[Channels];
        GROUPCONV_UNROLL
        for (int c = 0; c < Channels; ++c) weights[c] = load(weight + c * kernel * W);
        GROUPCONV_UNROLL
        for (int column = 0; column < Columns; ++column) {
          if (Edge && static_cast<uint64_t>(q + column) >= static_cast<uint64_t>(q_end)) continue;
          const Vec gradient = load(dy + column * W);
          GROUPCONV_UNROLL
          for (int c = 0; c < Channels; ++c) sums[c * Columns + column] += gradient * weights[c];
        }
      }
    }
  constexpr int Groups = (Channels * Columns + W - 1) / W;
  alignas(64) float results[Groups * W];  // [Channels, Columns]
  GROUPCONV_UNROLL
  for (int group = 0; group < Groups; ++group) {
    Vec of_group[W];
    GROUPCONV_UNROLL
    for (int i = 0; i < W; ++i)
      of_group[i] = group * W + i < Channels * Columns ? sums[group * W + i] : zero();
    store(results + group * W, add_lanes(of_group));
  }
  const int64_t plane = int64_t{p.h} * p.w, end = Edge ? min_of(count, Columns) : Columns;
  for (int c = 0; c < Channels; ++c)
    for (int64_t column = 0; column < end; ++column) {
      Element& dx = tile.dx[c * plane + (i + column) * p.stride_w];
      dx = Element(p.accumulate ? dx + results[c * Columns + column] : results[c * Columns + column]);
    }
}

template <int Channels>
void run_row(const Conv2dProblem& p, const Conv2dBuffers& b, int64_t n, int64_t h) {
  const Taps rows = grad_input_taps(p.r, p.stride_h, p.dilation_h, p.pad_top, h % p.stride_h);
  for (int64_t phase = 0; phase < min_of(p.stride_w, p.w); ++phase) {
    const Taps columns = grad_input_taps(p.s, p.stride_w, p.dilation_w, p.pad_left, phase);
    const InputTile tile{p,
                         elements(b.dy) + n * ceil_div(p.k, W) * p.p * p.q * W,
                         elements(b.weight),
                         rows,
                         columns,
                         h / p.stride_h,
                         elements(b.dx) + (n * p.c * p.h + h) * p.w + phase};
    const int64_t outputs = ceil_div(p.w - phase, p.stride_w);
    constexpr int Columns = columns_of(Channels);
    for (int64_t i = 0; i < outputs; i += Columns)
      if (i + Columns <= outputs && columns.inside(i, Columns, p.q))
        input_tile<Channels, false>(tile, i, Columns);
      else
        input_tile<Channels, true>(tile, i, outputs - i);
  }
}

bool accepts(const Conv2dProblem& p) {
  return p.pass == Conv2dPass::GradInput && is_stem(p) && p.r <= kMaxTaps && p.s <= kMaxTaps;
}

void run(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  parallel_for(context, int64_t{p.n} * p.h, [&](int64_t i) {
    const int64_t n = i / p.h, h = i % p.h;
    if (p.c == 1)
      run_row<1>(p, b, n, h);
    else if (p.c == 2)
      run_row<2>(p, b, n, h);
    else if (p.c == 3)
      run_row<3>(p, b, n, h);
    else
      run_row<4>(p, b, n, h);
  });
}

constexpr Conv2dSolver solvers[] = {{"stem", accepts, run, nullptr, stem_prepared_bytes, stem_prepare}};

}  // namespace

namespace GROUPCONV_ISA {
extern const Conv2dTable conv2d_stem_grad_input = {solvers, 1};
}

}  // namespace groupconv
