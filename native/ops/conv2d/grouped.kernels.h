// Register tiles of grouped 3x3 and 5x5 convolutions: forward, and gradInput as a convolution of dy. One call
// computes a strip, which is a run of equally wide tiles of one output row (or of two rows with the same
// taps).
//
// Lanes join the input channels of their groups in one of three ways (Join). Each input vector that is loaded
// serves every output column that it takes part in.
#pragma once
#include "ops/conv2d/groupedPattern.kernels.h"
#include "ops/conv2d/groupedShapes.kernels.h"
#include "ops/conv2d/tiling.kernels.h"

namespace groupconv {
namespace {

// Sums that fit the registers beside three weights and an input. Two multiply-adds per cycle of latency 4 in
// chains of three kernel columns ask for at least 8.
constexpr int kMostSums = W == 16 ? 14 : W == 8 ? 10 : 8;

struct Strip {
  const Element* x;  // [taps, columns, lanes]: the first tile's first input column, perhaps left of the image
  int64_t x_tap;     // from one kernel row's input row to the next one's, in elements like all strides here
  int64_t x_row;     // to the second output row's input rows
  int64_t x_block;   // to the next input block
  // Broadcast: [block, kernel row, operand, kernel column, W operand lanes]; else [step, kernel row, kernel
  // column, W operand lanes].
  const Element* weight;
  int64_t weight_tap;        // between the kernel rows taken
  int64_t weight_step;       // to the next step, or block
  int taps;                  // kernel rows inside the image
  int depth;                 // Broadcast: input blocks per group; Swap, Shuffled: steps
  int last_lanes;            // Broadcast: channels in the last of the input blocks
  const PatternStep* steps;  // Shuffle
  int column, width;         // the input column that x points to; columns of the image
  Element* y;                // [columns, lanes]
  int64_t y_row;
  const float* bias;        // or null
  const Element* residual;  // or null; may be y
  Activation activation;
  int tiles;
  const Element* ahead;  // input to fetch into the cache meanwhile, in each of the group's input blocks
  int ahead_lines;       // of 64 bytes per tile
  bool outside_left, outside_right;  // the strip's first or last output column lies outside the image
};
using StripKernel = void (*)(const Strip&);

// Which of a tile's output columns takes input column j through kernel column s; -1: none. At most kEdge
// columns fall outside at either end of a tile wider than one output.
// y[t] = sum over s < Kernel of x[Stride * t + Dilation * s] * weight[s].
template <int T, int Stride, int Kernel, int Dilation>
struct Strided {
  static constexpr int kReach = (Kernel - 1) * Dilation, kEdge = kReach / 2, kKernel = Kernel;
  static constexpr int kWidth = T, kSums = T, kColumns = (T - 1) * Stride + kReach + 1, kAdvance = T * Stride;
  static constexpr bool kPhases = false;
  static constexpr int target(int j, int s) {
    const int from = j - s * Dilation;
    return from >= 0 && from % Stride == 0 && from / Stride < T ? from / Stride : -1;
  }
};
// The transpose of stride 2 of a 3x3 kernel, by parity:
// y[2t] = x[t] * weight[1], y[2t + 1] = x[t] * weight[2] + x[t + 1] * weight[0].
template <int T>
struct Phases {
  static constexpr int kEdge = 1, kKernel = 3;
  static constexpr int kWidth = T, kSums = 2 * T, kColumns = T + 1, kAdvance = T;
  static constexpr bool kPhases = true;
  static constexpr int target(int j, int s) {
    return s == 0 ? 2 * j - 1 : j == T ? -1 : s == 1 ? 2 * j : 2 * j + 1;
  }
};

// The i-th of count columns in the order 0, last, 1, last but one … of `edge` columns at both ends, then with
// the others every third one, three times: multiply-adds to the same sum are a third of all apart, which
// hides their latency, and columns that may be skipped come first, since a branch among the others costs the
// compiler registers (avx2, conv2: 80 instead of 90 % of the peak).
constexpr int spread(int i, int count, int edge) {
  if (i < 2 * edge) return i % 2 ? count - 1 - i / 2 : i / 2;
  const int index = i - 2 * edge, inner = count - 2 * edge;
  const int first = (inner + 2) / 3, second = (inner + 1) / 3;  // columns of the first two thirds
  return edge + (index < first            ? 3 * index
                 : index < first + second ? 3 * (index - first) + 1
                                          : 3 * (index - first - second) + 2);
}

// Output columns of the tile that take input column j.
template <class Tile>
constexpr int uses(int j) {
  int count = 0;
  for (int s = 0; s < Tile::kKernel; ++s) count += Tile::target(j, s) >= 0;
  return count;
}

// sums += x * weight[kernel columns] for every input column j of the tile with begin <= j < end.
template <Join join, class Tile, int Rows, class Read>
GROUPCONV_INLINE void add_columns(Vec (&sums)[Rows][Tile::kSums], const Element* x, int64_t x_row,
                                  const Element* weight, int begin, int end, const Read& read) {
  constexpr bool kAllChecked = Tile::kWidth == 1;
  Operand w[Tile::kKernel];
  each<Tile::kKernel>(
      [&](auto s) GROUPCONV_INLINE_LAMBDA { w[s.value] = load_operand(weight + s.value * kDotDepth * W); });
  each<Tile::kColumns>([&](auto i) GROUPCONV_INLINE_LAMBDA {
    constexpr int j = spread(i.value, Tile::kColumns, Tile::kEdge);
    if constexpr (uses<Tile>(j) > 0) {
      if ((j < Tile::kEdge || kAllChecked) && j < begin) return;
      if ((j >= Tile::kColumns - Tile::kEdge || kAllChecked) && j >= end) return;
      each<Rows>([&](auto row) GROUPCONV_INLINE_LAMBDA {
        // A broadcast is never folded into three instructions; pinned, it costs the paired tiles of avx2 15
        // %.
        const Operand loaded = read(x + row.value * x_row + j * W);
        const bool folds = join == Join::Swap || join == Join::Shuffled;
        const Operand v = folds && uses<Tile>(j) > 1 ? in_register(loaded) : loaded;
        each<Tile::kKernel>([&](auto s) GROUPCONV_INLINE_LAMBDA {
          constexpr int target = Tile::target(j, s.value);
          if constexpr (target >= 0)
            sums[row.value][target] = add_dot(sums[row.value][target], v, w[s.value]);
        });
        keep(v);
      });
    }
  });
  each<Tile::kKernel>([&](auto s) GROUPCONV_INLINE_LAMBDA { keep(w[s.value]); });
}

template <int X, int Rows, int Sums>
GROUPCONV_INLINE void swap_lanes(Vec (&sums)[Rows][Sums]) {
  if constexpr (X < W) {
    GROUPCONV_UNROLL
    for (int row = 0; row < Rows; ++row) {
      GROUPCONV_UNROLL
      for (int t = 0; t < Sums; ++t) sums[row][t] = xor_lanes<X>(sums[row][t]);
    }
  }
}

template <class Tile, int Rows>
GROUPCONV_INLINE void add_swapped(Vec (&sums)[Rows][Tile::kSums], const Strip& s, const Element* x, int begin,
                                  int end) {
  const Element* mask = s.weight;
  constexpr Operand (*read)(const Element*) = load_own_operand;
  const auto add_taps = [&]() GROUPCONV_INLINE_LAMBDA {
    const Element *row = x, *weight = mask;
    for (int tap = 0; tap < s.taps; ++tap, row += s.x_tap, weight += s.weight_tap)
      add_columns<Join::Swap, Tile, Rows>(sums, row, s.x_row, weight, begin, end, read);
    mask += s.weight_step;
  };
  for (int step = 2;; step += 2) {
    add_taps();
    swap_lanes<kDotDepth>(sums);
    add_taps();
    if (step == s.depth) break;
    if (step & 2)
      swap_lanes<2 * kDotDepth>(sums);
    else if (step & 4)
      swap_lanes<4 * kDotDepth>(sums);
    else
      swap_lanes<8 * kDotDepth>(sums);
  }
}

template <class Tile, int Rows>
GROUPCONV_INLINE void add_shuffled(Vec (&sums)[Rows][Tile::kSums], const Strip& s, const Element* x,
                                   int begin, int end) {
  const Element* first = s.weight;
  const PatternStep* step = s.steps;
  for (int left = step->count; left > 0; --left, ++step, first += s.weight_step) {
    const IntVec lanes = step->lanes;
    const int64_t apart = (step->far - step->near) * s.x_block;
    const auto read = [=](const Element* near) GROUPCONV_INLINE_LAMBDA {
      return blend_and_shuffle(load(near), load(near + apart), lanes);
    };
    const Element *row = x + step->near * s.x_block, *weight = first;
    for (int tap = 0; tap < s.taps; ++tap, row += s.x_tap, weight += s.weight_tap)
      add_columns<Join::Shuffle, Tile, Rows>(sums, row, s.x_row, weight, begin, end, read);
  }
}

template <class Tile, int Rows>
GROUPCONV_INLINE void add_ready(Vec (&sums)[Rows][Tile::kSums], const Strip& s, const Element* x, int begin,
                                int end) {
  constexpr Operand (*read)(const Element*) = load_own_operand;
  const Element* first = s.weight;
  for (int step = 0; step < s.depth; ++step, x += s.x_block, first += s.weight_step) {
    const Element *row = x, *weight = first;
    for (int tap = 0; tap < s.taps; ++tap, row += s.x_tap, weight += s.weight_tap)
      add_columns<Join::Shuffled, Tile, Rows>(sums, row, s.x_row, weight, begin, end, read);
  }
}

template <class Tile, int Rows>
GROUPCONV_INLINE void add_broadcast(Vec (&sums)[Rows][Tile::kSums], const Strip& s, const Element* x,
                                    int begin, int end) {
  const auto read = [](const Element* p) GROUPCONV_INLINE_LAMBDA { return broadcast_operand(p); };
  for (int block = 0; block < s.depth; ++block) {
    const Element *row = x + block * s.x_block, *first = s.weight + block * s.weight_step;
    // A constant where groups fill vectors: the loop of 8 unrolls (avx2, conv5_s2 gradInput: 207 instead of
    // 264 us).
    const int channels = kPartialBlocks && block + 1 == s.depth ? s.last_lanes : W;
    for (int tap = 0; tap < s.taps; ++tap, row += s.x_tap, first += s.weight_tap) {
      const Element* weight = first;
      for (int channel = 0; channel < channels; channel += kDotDepth, weight += Tile::kKernel * kDotDepth * W)
        add_columns<Join::Broadcast, Tile, Rows>(sums, row + channel, s.x_row, weight, begin, end, read);
    }
  }
}

// Stride 2 reads input faster than the hardware fetches it from beyond the caches (avx2, batch 8, conv3: 24
// instead of 63 % of the peak); in cache the fetch costs 1 to 3 %.
GROUPCONV_INLINE void fetch_ahead(const Strip& s, int blocks, int tile) {
  const Element* ahead = s.ahead + int64_t{tile} * s.ahead_lines * kLine;
  for (int block = 0; block < blocks; ++block, ahead += s.x_block)
    for (int line = 0; line < s.ahead_lines; ++line) __builtin_prefetch(ahead + line * kLine);
}

// The epilogue of a tile's sums, and their store at y. Each step goes over all of them, so that its branch is
// taken once.
template <class Tile, int Rows>
GROUPCONV_INLINE void finish_tile(Vec (&sums)[Rows][Tile::kSums], const Strip& s, Element* y, int tile) {
  const bool skip_first = Tile::kPhases && s.outside_left && tile == 0;
  const bool skip_last = Tile::kPhases && s.outside_right && tile == s.tiles - 1;
  const auto each_sum = [&](const auto& body) GROUPCONV_INLINE_LAMBDA {
    each<Rows * Tile::kSums>([&](auto i) GROUPCONV_INLINE_LAMBDA {
      constexpr int row = i.value / Tile::kSums, t = i.value % Tile::kSums;
      if (Tile::kPhases && t == 0 && skip_first) return;
      if (Tile::kPhases && t == Tile::kSums - 1 && skip_last) return;
      body(sums[row][t], row * s.y_row + t * W);
    });
  };
  if (s.bias) {
    Vec bias = load(s.bias);
    GROUPCONV_PIN(bias);
    each_sum([&](Vec& sum, int64_t) GROUPCONV_INLINE_LAMBDA { sum += bias; });
  }
  if (s.residual) {
    const Element* residual = s.residual + (y - s.y);
    each_sum([&](Vec& sum, int64_t at) GROUPCONV_INLINE_LAMBDA { sum += load(residual + at); });
  }
  GROUPCONV_UNROLL
  for (int row = 0; row < Rows; ++row) activate(sums[row], s.activation);
  each_sum([&](Vec& sum, int64_t at) GROUPCONV_INLINE_LAMBDA { store(y + at, sum); });
}

template <Join join, class Tile, int Rows>
GROUPCONV_KERNEL void run_strip(const Strip& s) {
  const Element* x = s.x;
  Element* y = s.y;
  int begin = -s.column, end = s.width - s.column;  // a tile's input columns inside the image
  for (int tile = 0; tile < s.tiles; ++tile) {
    Vec sums[Rows][Tile::kSums];
    each<Rows * Tile::kSums>(
        [&](auto i) GROUPCONV_INLINE_LAMBDA { sums[i.value / Tile::kSums][i.value % Tile::kSums] = zero(); });
    fetch_ahead(s, join == Join::Broadcast ? s.depth : 1, tile);
    if constexpr (join == Join::Swap)
      add_swapped<Tile, Rows>(sums, s, x, begin, end);
    else if constexpr (join == Join::Shuffle)
      add_shuffled<Tile, Rows>(sums, s, x, begin, end);
    else if constexpr (join == Join::Shuffled)
      add_ready<Tile, Rows>(sums, s, x, begin, end);
    else
      add_broadcast<Tile, Rows>(sums, s, x, begin, end);
    finish_tile<Tile>(sums, s, y, tile);
    x += Tile::kAdvance * W;
    y += Tile::kSums * W;
    begin -= Tile::kAdvance;
    end -= Tile::kAdvance;
  }
}

// Kernels by tile width, 1 first.
template <Join join, int Rows, int Stride, int Kernel, int Dilation, class Widths>
struct StripKernels;
template <Join join, int Rows, int Stride, int Kernel, int Dilation, int... Is>
struct StripKernels<join, Rows, Stride, Kernel, Dilation, Indices<Is...>> {
  static constexpr StripKernel by_width[] = {
      run_strip<join, Strided<Is + 1, Stride, Kernel, Dilation>, Rows>...};
};
template <Join join, class Widths>
struct PhaseKernels;
template <Join join, int... Is>
struct PhaseKernels<join, Indices<Is...>> {
  static constexpr StripKernel by_width[] = {run_strip<join, Phases<Is + 1>, 1>...};
};

// The kernels of one convolution; without paired ones, rows go one by one.
struct StripSet {
  const StripKernel *single, *paired;
  int kernel, dilation, most;  // columns of the kernel; sums
  bool shuffled = false;       // they take ShuffledRows
};
template <Join join, int Stride, int Kernel, int Dilation, int Most>
constexpr const StripKernel* single_rows() {
  return StripKernels<join, 1, Stride, Kernel, Dilation, typename MakeIndices<Most>::type>::by_width;
}
template <Join join, int Stride>
constexpr const StripKernel* paired_rows() {
  return StripKernels<join, 2, Stride, 3, 1, typename MakeIndices<kMostSums / 2>::type>::by_width;
}

}  // namespace
}  // namespace groupconv
