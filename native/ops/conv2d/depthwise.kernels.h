// Depthwise kernels: correlations of planes [H, W, lanes] with one weight vector per tap.
//
// The fast ones walk along the columns of a few output rows at once. Every input vector is loaded once per
// strip and multiplied into all outputs that it reaches: those of `Rows` rows and of the few columns that are
// still open, which live in registers and move on by one column per step. So left and right borders are
// columns that are skipped, and no width needs a remainder. Top and bottom borders are rows that are skipped,
// by bit tests in the `Edge` form.
//
// A dilated kernel is one without dilation, for each phase of outputs: those that lie a dilation apart meet
// only inputs that lie a dilation apart. So every step from pixel to pixel is a variable.
#pragma once
#include "ops/conv2d/tiling.kernels.h"

namespace groupconv {
namespace {

// Elements from one plane, row or column to the next.
struct Steps {
  int64_t plane, row, column;
};

// What forward and gradInput have in common: out = correlation(in), plane by plane.
struct Planes {
  int64_t count, blocks;  // planes; every `blocks` planes the weights repeat
  int64_t in_h, in_w, out_h, out_w;
  Steps in_steps, out_steps;
  int64_t pad_top, pad_left;    // of in when gathering, of out when scattering; negative ones crop
  int64_t taps;                 // R * S
  const Element *in, *weights;  // weights: [blocks, R, S, lanes]
  const float* bias;            // or null
  const Element* residual;      // or null
  Element* out;
  Activation activation;
  PlaneMoments moments{};  // forward: of out
};

// One plane of them.
struct Plane {
  const Element *in, *weights, *residual;
  Element* out;
  Vec bias;
  Activation activation;
  bool plain;  // the sum, with bias, is the result

  Plane(const Planes& p, int64_t i)
      : in(p.in + i * p.in_steps.plane),
        weights(p.weights + i % p.blocks * p.taps * W),
        residual(p.residual ? p.residual + i * p.out_steps.plane : nullptr),
        out(p.out + i * p.out_steps.plane),
        bias(p.bias ? load(p.bias + i % p.blocks * W) : zero()),
        activation(p.activation),
        plain(!p.residual && p.activation == Activation::None) {}

  GROUPCONV_INLINE void finish(Vec v, int64_t offset) const {
    if (residual) v += load(residual + offset);
    store(out + offset, activate(v, activation));
  }
};

// One axis of one phase: its outputs, and the inputs that they read.
struct Phase {
  int64_t first_in, ins, first_out, outs, pad;
};
inline Phase phase_of(int64_t in, int64_t out, int64_t stride, int64_t dilation, int64_t pad, int64_t phase) {
  const int64_t reach = phase * stride - pad;  // what the first output's first tap reads
  const int64_t first = (reach % dilation + dilation) % dilation;
  return {first, ceil_div(in - first, dilation), phase, ceil_div(out - phase, dilation),
          (first - reach) / dilation};
}

inline Planes phase_of(Planes planes, int64_t stride, const int32_t (&dilation)[2], int64_t phase_h,
                       int64_t phase_w) {
  const Phase h = phase_of(planes.in_h, planes.out_h, stride, dilation[0], planes.pad_top, phase_h);
  const Phase w = phase_of(planes.in_w, planes.out_w, stride, dilation[1], planes.pad_left, phase_w);
  const auto start = [&](const Steps& steps, int64_t row, int64_t column) {
    return row * steps.row + column * steps.column;
  };
  planes.in += start(planes.in_steps, h.first_in, w.first_in);
  planes.out += start(planes.out_steps, h.first_out, w.first_out);
  if (planes.residual) planes.residual += start(planes.out_steps, h.first_out, w.first_out);
  planes.in_h = h.ins, planes.in_w = w.ins, planes.out_h = h.outs, planes.out_w = w.outs;
  planes.pad_top = h.pad, planes.pad_left = w.pad;
  for (Steps* steps : {&planes.in_steps, &planes.out_steps}) {
    steps->row *= dilation[0];
    steps->column *= dilation[1];
  }
  return planes;
}

// Bits [begin, end) of a word.
inline uint32_t bits(int64_t begin, int64_t end) {
  return end > begin ? static_cast<uint32_t>((uint64_t{1} << end) - (uint64_t{1} << begin)) : 0;
}

// Output rows per strip. 3x3 with 32 registers: 4 rows x 3 open columns, 9 weights, 1 input; with 16: 2 x 3,
// 9, 1.
constexpr int kRows = kRegisters == 32 ? 4 : 2;

// out[p, q] = sum over r, s of weight[r, s] * in[p * Stride + r - pad_top, q * Stride + s - pad_left]
// Step t takes the Stride input columns from t * Stride - pad_left on; then output column t - Open + 1 is
// complete.
template <int K, int Stride>
GROUPCONV_KERNEL void gather_strips(const Planes& planes, int64_t index, int64_t first_strip,
                                    int64_t last_strip) {
  constexpr int Inputs = (kRows - 1) * Stride + K, Open = (K + Stride - 1) / Stride;
  const Plane plane(planes, index);
  const int64_t in_h = planes.in_h, in_w = planes.in_w, out_h = planes.out_h, pad_left = planes.pad_left;
  const int64_t in_row = planes.in_steps.row, in_column = planes.in_steps.column;
  const int64_t out_row = planes.out_steps.row, out_column = planes.out_steps.column;
  const int64_t steps = planes.out_w + Open - 1;
  Vec weight[K][K];
  each<K * K>([&](auto i) GROUPCONV_INLINE_LAMBDA {
    weight[i.value / K][i.value % K] = load(plane.weights + i.value * W);
  });
  for (int64_t strip = first_strip; strip < last_strip; ++strip) {
    const int64_t p = strip * kRows, h = p * Stride - planes.pad_top, outputs = min_of(kRows, out_h - p);
    const uint32_t valid = bits(max_of(0, -h), min_of((outputs - 1) * Stride + K, in_h - h));
    const auto columns = [&](auto edge) GROUPCONV_INLINE_LAMBDA {
      constexpr bool Edge = decltype(edge)::value;
      Vec sum[kRows][Open];  // [row][d] belongs to output column t - d
      each<kRows * Open>([&](auto i)
                             GROUPCONV_INLINE_LAMBDA { sum[i.value / Open][i.value % Open] = plane.bias; });
      for (int64_t t = 0; t < steps; ++t) {
        each<Stride>([&](auto e) GROUPCONV_INLINE_LAMBDA {
          const int64_t column = t * Stride + e.value - pad_left;
          if (static_cast<uint64_t>(column) >= static_cast<uint64_t>(in_w)) return;
          const Element* in = plane.in + h * in_row + column * in_column;
          each<Inputs>([&](auto i) GROUPCONV_INLINE_LAMBDA {
            if (Edge && !(valid >> i.value & 1)) return;
            const Vec v = load(in + i.value * in_row);
            each<kRows * Open>([&](auto j) GROUPCONV_INLINE_LAMBDA {
              constexpr int row = j.value / Open, d = j.value % Open, r = i.value - row * Stride,
                            s = d * Stride + e.value;
              if constexpr (r >= 0 && r < K && s < K) sum[row][d] += v * weight[r][s];
            });
          });
        });
        if (t >= Open - 1) {
          const int64_t offset = p * out_row + (t - Open + 1) * out_column;
          if (plane.plain)
            each<kRows>([&](auto row) GROUPCONV_INLINE_LAMBDA {
              if (!Edge || row.value < outputs)
                store(plane.out + offset + row.value * out_row, sum[row.value][Open - 1]);
            });
          else
            each<kRows>([&](auto row) GROUPCONV_INLINE_LAMBDA {
              if (!Edge || row.value < outputs)
                plane.finish(sum[row.value][Open - 1], offset + row.value * out_row);
            });
        }
        each<kRows>([&](auto row) GROUPCONV_INLINE_LAMBDA {
          each<Open - 1>([&](auto i) GROUPCONV_INLINE_LAMBDA {
            constexpr int d = Open - 1 - i.value;
            sum[row.value][d] = sum[row.value][d - 1];
          });
          sum[row.value][0] = plane.bias;
        });
      }
    };
    if (valid == bits(0, Inputs) && outputs == kRows)
      columns(Constant<0>{});
    else
      columns(Constant<1>{});
  }
}

// The transposed direction: in[p, q] reaches out[p * Stride + r - pad_top, q * Stride + s - pad_left].
// Rows are those of the padded output: strip i begins with row i * kRows - pad_top, and kRows is a multiple
// of Stride. Step t takes input column t; then the Stride output columns from t * Stride - pad_left on are
// complete.
template <int K, int Stride>
GROUPCONV_KERNEL void scatter_strips(const Planes& planes, int64_t index, int64_t first_strip,
                                     int64_t last_strip) {
  constexpr int Above = (K - 1) / Stride, Inputs = Above + kRows / Stride;
  static_assert(kRows % Stride == 0 && K >= Stride);
  const Plane plane(planes, index);
  const int64_t in_h = planes.in_h, in_w = planes.in_w, out_h = planes.out_h, out_w = planes.out_w;
  const int64_t pad_left = planes.pad_left, in_row = planes.in_steps.row, out_row = planes.out_steps.row;
  const int64_t steps = ceil_div(pad_left + out_w, Stride);
  Vec weight[K][K];
  each<K * K>([&](auto i) GROUPCONV_INLINE_LAMBDA {
    weight[i.value / K][i.value % K] = load(plane.weights + i.value * W);
  });
  for (int64_t strip = first_strip; strip < last_strip; ++strip) {
    const int64_t h = strip * kRows - planes.pad_top, p = strip * kRows / Stride - Above;
    const uint32_t valid = bits(max_of(0, -p), min_of(Inputs, in_h - p));
    const uint32_t outputs = bits(max_of(0, -h), min_of(kRows, out_h - h));
    const auto columns = [&](auto edge) GROUPCONV_INLINE_LAMBDA {
      constexpr bool Edge = decltype(edge)::value;
      Vec sum[kRows][K];  // [row][s] belongs to padded output column t * Stride + s
      each<kRows * K>([&](auto i) GROUPCONV_INLINE_LAMBDA { sum[i.value / K][i.value % K] = zero(); });
      for (int64_t t = 0; t < steps; ++t) {
        if (t < in_w) {
          const Element* in = plane.in + p * in_row + t * W;
          each<Inputs>([&](auto i) GROUPCONV_INLINE_LAMBDA {
            if (Edge && !(valid >> i.value & 1)) return;
            const Vec v = load(in + i.value * in_row);
            each<kRows * K>([&](auto j) GROUPCONV_INLINE_LAMBDA {
              constexpr int row = j.value / K, s = j.value % K, r = row + Stride * (Above - i.value);
              if constexpr (r >= 0 && r < K) sum[row][s] += v * weight[r][s];
            });
          });
        }
        each<Stride>([&](auto e) GROUPCONV_INLINE_LAMBDA {
          const int64_t column = t * Stride + e.value - pad_left, offset = h * out_row + column * W;
          if (static_cast<uint64_t>(column) >= static_cast<uint64_t>(out_w)) return;
          if (plane.plain)
            each<kRows>([&](auto row) GROUPCONV_INLINE_LAMBDA {
              if (!Edge || outputs >> row.value & 1)
                store(plane.out + offset + row.value * out_row, sum[row.value][e.value]);
            });
          else
            each<kRows>([&](auto row) GROUPCONV_INLINE_LAMBDA {
              if (!Edge || outputs >> row.value & 1)
                plane.finish(sum[row.value][e.value], offset + row.value * out_row);
            });
        });
        each<kRows * K>([&](auto j) GROUPCONV_INLINE_LAMBDA {
          constexpr int row = j.value / K, s = j.value % K;
          if constexpr (s + Stride < K)
            sum[row][s] = sum[row][s + Stride];
          else
            sum[row][s] = zero();
        });
      }
    };
    if (valid == bits(0, Inputs) && outputs == bits(0, kRows))
      columns(Constant<0>{});
    else
      columns(Constant<1>{});
  }
}

}  // namespace
}  // namespace groupconv
