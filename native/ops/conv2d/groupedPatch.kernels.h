// Register tiles of grouped gradWeight. For one kernel row, sums[kernel columns][output channels] stay in
// registers over all pixels of a patch: per output column one vector of dy for each output channel meets the
// vectors of x of the kernel's columns. A lane is an input channel.
#pragma once
#include "ops/conv2d/groupedShapes.kernels.h"

namespace groupconv {
namespace {

// Output channels (steps, with Shuffle) whose sums fit the registers beside a row of input columns: of 32,
// 3 * 8 or 5 * 4 sums (with Shuffle, 3 * 6 or 5 * 4: the shuffles' lanes take registers, too); of 16, 3 * 4
// or 5 * 2.
constexpr int most_outputs(Join join, int columns) {
  return W < 16 ? (columns == 3 ? 4 : 2) : columns == 5 ? 4 : join == Join::Shuffle ? 6 : 8;
}

struct Patch {
  const Element *x, *dy;      // the first row's column 0: x[row + r], dy[row]
  int64_t x_image, dy_image;  // strides, in elements
  int64_t x_row, dy_row;
  int64_t x_tap, dy_block;            // to the next kernel column; to dy's next block (Shuffled: step)
  int images, rows, columns;          // of dy
  int stride, pad_left, width;        // width of x
  int dilation;                       // of kernel columns
  int inner_begin, inner_end;         // columns of dy whose columns of x are all inside the image
  const Element *x_ahead, *dy_ahead;  // to fetch into the cache meanwhile
  int x_ahead_lines, dy_ahead_lines;  // of 64 bytes per row
  const PatternStep* steps;           // Shuffle: the chunk's
  float* sums;                        // [kernel columns, outputs, lanes]
  bool first;                         // overwrite the sums
};
using PatchKernel = void (*)(const Patch&);

// What of dy meets the lanes: at(dy, o) is the vector for output o of the chunk.
template <Join join, int Outputs>
struct Outer {
  explicit Outer(const Patch&) {}
  template <int O>
  GROUPCONV_INLINE Vec at(const Element* dy) const {
    if constexpr (join == Join::Swap)
      return xor_lanes<O>(load(dy));
    else
      return broadcast(dy[O]);
  }
};
template <int Outputs>
struct Outer<Join::Shuffle, Outputs> {
  IntVec lanes[Outputs];
  int64_t near[Outputs], far[Outputs];  // offsets
  explicit GROUPCONV_INLINE Outer(const Patch& p) {
    each<Outputs>([&](auto o) GROUPCONV_INLINE_LAMBDA {
      lanes[o.value] = p.steps[o.value].lanes;
      near[o.value] = p.steps[o.value].near * p.dy_block;
      far[o.value] = p.steps[o.value].far * p.dy_block;
    });
  }
  template <int O>
  GROUPCONV_INLINE Vec at(const Element* dy) const {
    return blend_and_shuffle(load(dy + near[O]), load(dy + far[O]), lanes[O]);
  }
};

template <int Outputs>
struct Outer<Join::Shuffled, Outputs> {
  int64_t step;
  explicit Outer(const Patch& p) : step(p.dy_block) {}
  template <int O>
  GROUPCONV_INLINE Vec at(const Element* dy) const {
    return load(dy + O * step);
  }
};

template <Join join, int Columns, int Outputs>
GROUPCONV_KERNEL void run_patch(const Patch& p) {
  Vec sums[Columns][Outputs];
  each<Columns * Outputs>([&](auto i) GROUPCONV_INLINE_LAMBDA {
    sums[i.value / Outputs][i.value % Outputs] = p.first ? zero() : load(p.sums + i.value * W);
  });
  const Outer<join, Outputs> outer(p);
  const int64_t x_tap = p.x_tap;
  const Element *x_ahead = p.x_ahead, *dy_ahead = p.dy_ahead;
  for (int image = 0; image < p.images; ++image)
    for (int row = 0; row < p.rows; ++row) {
      for (int line = 0; line < p.x_ahead_lines; ++line, x_ahead += kLine) __builtin_prefetch(x_ahead);
      for (int line = 0; line < p.dy_ahead_lines; ++line, dy_ahead += kLine) __builtin_prefetch(dy_ahead);
      const Element* dy = p.dy + image * p.dy_image + row * p.dy_row;
      const Element* x = p.x + image * p.x_image + row * p.x_row - int64_t{p.pad_left} * W;
      for (int q = 0; q < p.columns; ++q, dy += W, x += p.stride * W) {
        const int column = q * p.stride - p.pad_left;  // the first that it takes
        const bool is_inner = q >= p.inner_begin && q < p.inner_end;
        const auto is_inside = [&](int s) GROUPCONV_INLINE_LAMBDA {
          return column + s * p.dilation >= 0 && column + s * p.dilation < p.width;
        };
        if (join == Join::Shuffle || is_inner) {  // one shuffle costs more than products with zeros
          Vec inputs[Columns];
          each<Columns>([&](auto s) GROUPCONV_INLINE_LAMBDA {
            const Vec input = is_inner || is_inside(s.value) ? load(x + s.value * x_tap) : zero();
            inputs[s.value] = W == 16 ? in_register(input) : input;
          });
          each<Outputs>([&](auto o) GROUPCONV_INLINE_LAMBDA {
            const Vec output = outer.template at<o.value>(dy);
            each<Columns>(
                [&](auto s) GROUPCONV_INLINE_LAMBDA { sums[s.value][o.value] += output * inputs[s.value]; });
          });
        } else {
          each<Columns>([&](auto s) GROUPCONV_INLINE_LAMBDA {
            if (!is_inside(s.value)) return;
            const Vec input = load(x + s.value * x_tap);
            each<Outputs>([&](auto o) GROUPCONV_INLINE_LAMBDA {
              sums[s.value][o.value] += outer.template at<o.value>(dy) * input;
            });
          });
        }
      }
    }
  each<Columns * Outputs>([&](auto i) GROUPCONV_INLINE_LAMBDA {
    store(p.sums + i.value * W, sums[i.value / Outputs][i.value % Outputs]);
  });
}

// Kernels by outputs, 1 first.
template <Join join, int Columns, class Outputs>
struct PatchKernels;
template <Join join, int Columns, int... Is>
struct PatchKernels<join, Columns, Indices<Is...>> {
  static constexpr PatchKernel by_outputs[] = {run_patch<join, Columns, Is + 1>...};
};
template <Join join>
const PatchKernel* patch_kernels(int64_t columns) {
  return columns == 3 ? PatchKernels<join, 3, typename MakeIndices<most_outputs(join, 3)>::type>::by_outputs
                      : PatchKernels<join, 5, typename MakeIndices<most_outputs(join, 5)>::type>::by_outputs;
}

}  // namespace
}  // namespace groupconv
