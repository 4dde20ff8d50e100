// Depthwise gradWeight: dweight[k, r, s] = sum over n, p, q of dy[n, k, p, q] * x[n, k, p * stride + r - pad,
// …]. The sums of up to kKernelRows kernel rows stay in registers while rows of x go by column by column:
// each x vector is loaded once per kernel chunk and meets the few dy vectors, also in registers, that it
// belongs to.
//
// Work is cut into channel blocks and a number of row ranges that follows from the problem alone. Their
// partial sums [ranges, K/W, R, S, lanes] are added in order, so results do not depend on the number of
// threads.
#include "ops/conv2d/depthwise.kernels.h"
#include "ops/conv2d/depthwise.multiplier.kernels.h"

namespace groupconv {
namespace {

constexpr int64_t kItems = 128;       // as many as keep some tens of threads busy
constexpr int64_t kMinVectors = 512;  // dy vectors of one row range: below, its fixed costs would show

int64_t row_ranges(const Conv2dProblem& p) {
  const int64_t rows = int64_t{p.n} * p.p, wanted = ceil_div(kItems, ceil_div(p.k, W));
  return max_of(1, min_of(wanted, rows * p.q / kMinVectors));
}
int64_t partial_size(const Conv2dProblem& p) { return row_ranges(p) * ceil_div(p.k, W) * p.r * p.s * W; }

// Rows of one plane of x and dy, or of one phase of them (see depthwise.kernels.h), and where their sums go.
struct Rows {
  const Element *x, *dy;
  Steps x_steps, dy_steps;
  int64_t height, width, q, pad_top, pad_left;  // height and width of x
  float* sums;                                  // [R, S, lanes]
  int64_t begin, end;                           // of p
  bool first;                                   // overwrite sums
};

// Kernel rows kernel_row .. kernel_row + Height - 1 of a kernel S wide; Lines rows of dy at a time.
template <int Height, int S, int Stride, int Lines>
GROUPCONV_KERNEL void sum_rows(const Rows& rows, int64_t kernel_row) {
  constexpr int Inputs = (Lines - 1) * Stride + Height, Open = (S + Stride - 1) / Stride;
  const int64_t height = rows.height, width = rows.width, q = rows.q;
  const int64_t pad_top = rows.pad_top, pad_left = rows.pad_left, steps = q + Open - 1;
  const int64_t x_row = rows.x_steps.row, x_column = rows.x_steps.column;
  const int64_t dy_row = rows.dy_steps.row, dy_column = rows.dy_steps.column;
  // Steps whose columns are all inside.
  const int64_t inner_begin = min_of(steps, ceil_div(max_of(0, pad_left), Stride)),
                inner_end = min_of(q, max_of(0, width + pad_left) / Stride);
  float* out = rows.sums + kernel_row * S * W;
  Vec sum[Height][S];
  each<Height * S>([&](auto i) GROUPCONV_INLINE_LAMBDA {
    sum[i.value / S][i.value % S] = rows.first ? zero() : load(out + i.value * W);
  });
  for (int64_t line = rows.begin; line < rows.end; line += Lines) {
    const int64_t h = line * Stride + kernel_row - pad_top, lines = rows.end - line;
    uint32_t valid = 0;
    for (int i = 0; i < Inputs; ++i) valid |= static_cast<uint32_t>(h + i >= 0 && h + i < height) << i;
    const auto columns = [&](auto edge) GROUPCONV_INLINE_LAMBDA {
      constexpr bool Edge = decltype(edge)::value;
      Vec open[Lines][Open];  // [line][d] is dy of column t - d
      each<Lines * Open>([&](auto i)
                             GROUPCONV_INLINE_LAMBDA { open[i.value / Open][i.value % Open] = zero(); });
      const auto step = [&](int64_t t, auto inner) GROUPCONV_INLINE_LAMBDA {
        constexpr bool Inner = decltype(inner)::value;
        each<Lines>([&](auto i) GROUPCONV_INLINE_LAMBDA {
          const bool inside = (Inner || t < q) && (!Edge || i.value < lines);
          open[i.value][0] = inside ? load(rows.dy + (line + i.value) * dy_row + t * dy_column) : zero();
        });
        each<Stride>([&](auto e) GROUPCONV_INLINE_LAMBDA {
          const int64_t column = t * Stride + e.value - pad_left;
          if (!Inner && static_cast<uint64_t>(column) >= static_cast<uint64_t>(width)) return;
          const Element* x = rows.x + h * x_row + column * x_column;
          each<Inputs>([&](auto i) GROUPCONV_INLINE_LAMBDA {
            if (Edge && !(valid >> i.value & 1)) return;
            const Vec v = load(x + i.value * x_row);
            each<Lines * Open>([&](auto j) GROUPCONV_INLINE_LAMBDA {
              constexpr int l = j.value / Open, d = j.value % Open, r = i.value - l * Stride,
                            s = d * Stride + e.value;
              if constexpr (r >= 0 && r < Height && s < S) sum[r][s] += v * open[l][d];
            });
          });
        });
        each<Lines>([&](auto i) GROUPCONV_INLINE_LAMBDA {
          each<Open - 1>([&](auto j) GROUPCONV_INLINE_LAMBDA {
            constexpr int d = Open - 1 - j.value;
            open[i.value][d] = open[i.value][d - 1];
          });
        });
      };
      int64_t t = 0;
      for (; t < inner_begin; ++t) step(t, Constant<0>{});
      for (; t < inner_end; ++t) step(t, Constant<1>{});
      for (; t < steps; ++t) step(t, Constant<0>{});
    };
    if (valid == (1u << Inputs) - 1 && lines >= Lines)
      columns(Constant<0>{});
    else
      columns(Constant<1>{});
  }
  each<Height * S>([&](auto i)
                       GROUPCONV_INLINE_LAMBDA { store(out + i.value * W, sum[i.value / S][i.value % S]); });
}

// Any geometry: one tap after the other, kChains independent sums.
constexpr int kChains = 8;

Vec sum_tap(const Conv2dProblem& p, const Rows& rows, int64_t r, int64_t s) {
  const int64_t left = s * p.dilation_w - p.pad_left, step = int64_t{p.stride_w} * W;
  // Columns of dy whose x column lies inside.
  const int64_t first = left < 0 ? ceil_div(-left, p.stride_w) : 0;
  const int64_t last = p.w > left ? min_of(p.q, (p.w - left - 1) / p.stride_w + 1) : 0;
  Vec sums[kChains] = {};
  for (int64_t line = rows.begin; line < rows.end; ++line) {
    const int64_t h = line * p.stride_h + r * p.dilation_h - p.pad_top;
    if (h < 0 || h >= p.h) continue;
    const Element* x = rows.x + (h * p.w + first * p.stride_w + left) * W;
    const Element* dy = rows.dy + (line * p.q + first) * W;
    int64_t q = first;
    for (; q + kChains <= last; q += kChains, x += kChains * step, dy += kChains * W) GROUPCONV_UNROLL
    for (int i = 0; i < kChains; ++i) sums[i] += load(x + i * step) * load(dy + i * W);
    for (; q < last; ++q, x += step, dy += W) sums[0] += load(x) * load(dy);
  }
  for (int i = 1; i < kChains; ++i) sums[0] += sums[i];
  return sums[0];
}

GROUPCONV_KERNEL void sum_any_geometry(const Conv2dProblem& p, const Rows& rows) {
  for (int64_t tap = 0; tap < int64_t{p.r} * p.s; ++tap) {
    const Vec sum = sum_tap(p, rows, tap / p.s, tap % p.s);
    float* out = rows.sums + tap * W;
    store(out, rows.first ? sum : load(out) + sum);
  }
}

// 3x3 holds 9 sums and 4 x 3 of dy; with 16 registers, and for the 5 x 5 sums of 32, one line of dy.
constexpr bool kWide = kRegisters == 32;

// The last lines go by two or one where a group of four would be mostly empty.
template <int Stride>
void sum_3x3(const Rows& rows) {
  if constexpr (kWide) {
    const int64_t lines = rows.end - rows.begin, fours = (lines + 1) / 4 * 4;
    Rows part = rows;
    const auto take = [&](int64_t end, auto count) GROUPCONV_INLINE_LAMBDA {
      part.end = min_of(rows.end, end);
      if (part.begin >= part.end) return;
      sum_rows<3, 3, Stride, count.value>(part, 0);
      part.begin = part.end;
      part.first = false;
    };
    take(rows.begin + fours, Constant<4>{});
    take(rows.begin + lines / 2 * 2, Constant<2>{});
    take(rows.end, Constant<1>{});
  } else {
    sum_rows<3, 3, Stride, 1>(rows, 0);
  }
}
template <int Stride>
void sum_5x5(const Rows& rows) {
  if constexpr (kWide) {
    sum_rows<5, 5, Stride, 1>(rows, 0);
  } else {
    sum_rows<2, 5, Stride, 1>(rows, 0);
    sum_rows<2, 5, Stride, 1>(rows, 2);
    sum_rows<1, 5, Stride, 1>(rows, 4);
  }
}

// Three kernel rows of 7 sums and 7 of dy, or one.
void sum_7x7(const Rows& rows) {
  constexpr int Height = kWide ? 3 : 1;
  int64_t r = 0;
  for (; r + Height <= 7; r += Height) sum_rows<Height, 7, 1, 1>(rows, r);
  if constexpr (Height > 1) sum_rows<1, 7, 1, 1>(rows, r);
}

// Null where no kernel keeps the sums in registers.
using SumRows = void (*)(const Rows&);
SumRows dense_kernel(const Conv2dProblem& p) {
  if (p.stride_h != p.stride_w || p.r != p.s) return nullptr;
  if (p.r == 3 && p.stride_h == 1) return sum_3x3<1>;
  if (p.r == 3 && p.stride_h == 2) return sum_3x3<2>;
  if (p.r == 5 && p.stride_h == 1) return sum_5x5<1>;
  if (p.r == 5 && p.stride_h == 2) return sum_5x5<2>;
  return p.r == 7 && p.stride_h == 1 ? sum_7x7 : nullptr;
}

// The rows' part in one phase of a dilated kernel; adds to the sums.
Rows phase_of(const Conv2dProblem& p, Rows rows, int64_t phase_h, int64_t phase_w) {
  const Phase h = phase_of(p.h, p.p, p.stride_h, p.dilation_h, p.pad_top, phase_h);
  const Phase w = phase_of(p.w, p.q, p.stride_w, p.dilation_w, p.pad_left, phase_w);
  rows.x += h.first_in * rows.x_steps.row + w.first_in * rows.x_steps.column;
  rows.dy += h.first_out * rows.dy_steps.row + w.first_out * rows.dy_steps.column;
  for (Steps* steps : {&rows.x_steps, &rows.dy_steps}) {
    steps->row *= p.dilation_h;
    steps->column *= p.dilation_w;
  }
  rows.height = h.ins, rows.width = w.ins, rows.q = w.outs;
  rows.pad_top = h.pad, rows.pad_left = w.pad;
  rows.first = false;
  rows.begin = ceil_div(max_of(0, rows.begin - phase_h), p.dilation_h);
  rows.end = ceil_div(max_of(0, rows.end - phase_h), p.dilation_h);
  return rows;
}

void sum_plane_rows(const Conv2dProblem& p, const Rows& rows) {
  const SumRows sum = dense_kernel(p);
  if (!sum) return sum_any_geometry(p, rows);
  if (p.dilation_h == 1 && p.dilation_w == 1) return sum(rows);
  for (int64_t i = 0; rows.first && i < int64_t{p.r} * p.s * W; i += W) store(rows.sums + i, zero());
  for (int64_t phase = 0; phase < int64_t{p.dilation_h} * p.dilation_w; ++phase)
    sum(phase_of(p, rows, phase / p.dilation_w, phase % p.dilation_w));
}

// sums [taps, lanes] as dweight has them: [lanes, taps]. W taps at a time are transposed in registers. Fewer
// taps are stored whole, their idle lanes beneath the next row, so out has room for W more floats.
void transpose_sums(const float* sums, int64_t taps, float* out) {
  for (int64_t first = 0; first == 0 || first + W <= taps; first += W) {
    Vec rows[W];
    GROUPCONV_UNROLL
    for (int tap = 0; tap < W; ++tap) rows[tap] = tap < taps ? load(sums + (first + tap) * W) : zero();
    transpose(rows);
    GROUPCONV_UNROLL
    for (int k = 0; k < W; ++k) store_unaligned(out + k * taps + first, rows[k]);
  }
  for (int64_t tap = max_of(W, taps / W * W); tap < taps; ++tap)
    for (int64_t k = 0; k < W; ++k) out[k * taps + tap] = sums[tap * W + k];
}

// Adds up the ranges of one channel block, in order, and writes its rows of dweight.
void finish_block(const Conv2dProblem& p, float* partial, int64_t block, float* dweight) {
  const int64_t blocks = ceil_div(p.k, W), taps = int64_t{p.r} * p.s, channels = min_of(W, p.k - block * W);
  float* sums = partial + block * taps * W;  // of the first range
  for (int64_t range = 1; range < row_ranges(p); ++range)
    for (int64_t i = 0; i < taps * W; i += W)
      store(sums + i, load(sums + i) + load(partial + (range * blocks + block) * taps * W + i));
  float* out = dweight + block * W * taps;  // [channels, taps]
  float* flat = partial + partial_size(p) + block * (taps + 1) * W;
  transpose_sums(sums, taps, flat);
  int64_t i = 0;
  for (; i + W <= channels * taps; i += W)
    store_unaligned(out + i, p.accumulate ? load_unaligned(out + i) + load(flat + i) : load(flat + i));
  for (; i < channels * taps; ++i) out[i] = p.accumulate ? out[i] + flat[i] : flat[i];
}

bool accepts(const Conv2dProblem& p) { return p.pass == Conv2dPass::GradWeight && is_depthwise(p); }

// Every channel block's sums once more, transposed.
int64_t flat_size(const Conv2dProblem& p) { return ceil_div(p.k, W) * (int64_t{p.r} * p.s + 1) * W; }

size_t workspace_bytes(const Conv2dProblem& p) {
  return (partial_size(p) + flat_size(p)) * sizeof(float) + repeated_size(p) * sizeof(Element);
}

void run(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  const int64_t blocks = ceil_div(p.k, W), taps = int64_t{p.r} * p.s, ranges = row_ranges(p);
  const Steps x_steps{int64_t{p.h} * p.w * W, int64_t{p.w} * W, W};
  const Steps dy_steps{int64_t{p.p} * p.q * W, int64_t{p.q} * W, W};
  float* partial = static_cast<float*>(b.workspace);  // [ranges, K/W, R, S, lanes]
  const Element* x = elements(b.x);
  if (has_multiplier(p)) {
    Element* repeated = elements(partial + partial_size(p) + flat_size(p));
    repeat_channels(p, elements(b.x), repeated, context);
    x = repeated;
  }
  parallel_for(context, blocks * ranges, [&](int64_t item) {
    const int64_t block = item / ranges, range = item % ranges;
    float* sums = partial + (range * blocks + block) * taps * W;
    const Range rows = part(int64_t{p.n} * p.p, range, ranges);  // of [N, P]
    for (int64_t row = rows.begin; row < rows.end;) {
      const int64_t n = row / p.p, end = min_of(rows.end, (n + 1) * p.p), plane = n * blocks + block;
      sum_plane_rows(
          p, {x + plane * x_steps.plane, elements(b.dy) + plane * dy_steps.plane, x_steps, dy_steps, p.h, p.w,
              p.q, p.pad_top, p.pad_left, sums, row - n * p.p, end - n * p.p, row == rows.begin});
      row = end;
    }
    if (ranges == 1) finish_block(p, partial, block, b.dweight);
  });
  if (ranges > 1)
    parallel_for(context, blocks, [&](int64_t block) { finish_block(p, partial, block, b.dweight); });
}

constexpr Conv2dSolver solvers[] = {{"depthwise", accepts, run, workspace_bytes}};

}  // namespace

namespace GROUPCONV_ISA {
extern const Conv2dTable conv2d_depthwise_grad_weight = {solvers, 1};
}

}  // namespace groupconv
