#include "ops/pool/bands.kernels.h"

namespace groupconv {
namespace {

GROUPCONV_INLINE Vec lowest() { return broadcast(-__builtin_inff()); }

// The larger; NaN wins.
GROUPCONV_INLINE Vec larger(Vec a, Vec b) { return ((b > a) | (b != b)) ? b : a; }

void forward(const PoolProblem& p, const PoolBuffers& b, const ExecutionContext& context) {
  for_bands(context, p, p.p, [&](int64_t plane, PoolRange band) {
    const float* x = b.x + plane * p.h * p.w * W;
    float* y = b.y + plane * p.p * p.q * W;
    for (int64_t oh = band.begin; oh < band.end; ++oh) {
      const PoolRange rows = pool_rows(p, oh);
      for (int64_t ow = 0; ow < p.q; ++ow) {
        const PoolRange columns = pool_columns(p, ow);
        Vec largest = lowest();
        for (int64_t h = rows.begin; h < rows.end; ++h)
          for (int64_t w = columns.begin; w < columns.end; ++w)
            largest = larger(largest, load(x + (h * p.w + w) * W));
        store(y + (oh * p.q + ow) * W, largest);
      }
    }
  });
}

bool is_3x3_stride_2(const PoolProblem& p) {
  return p.kernel_h == 3 && p.kernel_w == 3 && p.stride_h == 2 && p.stride_w == 2;
}

// One row of outputs. Neighbouring windows share a column, whose maximum is carried over.
GROUPCONV_KERNEL void row_3x3_stride_2(const PoolProblem& p, const float* x, float* y, PoolRange rows) {
  const int64_t last = rows.end - 1;  // a row that padding hides is replaced by one of the window
  const float* row[3] = {x + rows.begin * p.w * W, x + min_of(rows.begin + 1, last) * p.w * W,
                         x + last * p.w * W};
  const auto column = [&](int64_t w) GROUPCONV_INLINE_LAMBDA {
    if (w < 0 || w >= p.w) return lowest();
    return larger(larger(load(row[0] + w * W), load(row[1] + w * W)), load(row[2] + w * W));
  };
  Vec left = column(-p.pad_left);
  for (int64_t ow = 0, w = -p.pad_left; ow < p.q; ++ow, w += 2) {
    const Vec right = column(w + 2);
    store(y + ow * W, larger(larger(left, column(w + 1)), right));
    left = right;
  }
}

void forward_3x3_stride_2(const PoolProblem& p, const PoolBuffers& b, const ExecutionContext& context) {
  for_bands(context, p, p.p, [&](int64_t plane, PoolRange band) {
    for (int64_t oh = band.begin; oh < band.end; ++oh)
      row_3x3_stride_2(p, b.x + plane * p.h * p.w * W, b.y + (plane * p.p + oh) * p.q * W, pool_rows(p, oh));
  });
}

// Lanes of a window that still look for their maximum, and what they give to it.
struct Search {
  Vec y, dy;
  IntVec open;

  // dx += dy in the lanes that find it in x; a NaN in the window is the maximum.
  GROUPCONV_INLINE void visit(const float* x, float* dx, bool writes) {
    const Vec v = load(x);
    const IntVec found = ((v == y) | (v != v)) & open;
    open &= ~found;
    if (writes) store(dx, load(dx) + (found ? dy : zero()));
  }
};

// Only rows inside `band` are written; those above it are visited all the same: the maximum may be there.
GROUPCONV_INLINE void scatter(const PoolProblem& p, const float* x, float* dx, Search search, PoolRange rows,
                              PoolRange columns, PoolRange band) {
  for (int64_t h = rows.begin; h < min_of(rows.end, band.end); ++h)
    for (int64_t w = columns.begin; w < columns.end; ++w)
      search.visit(x + (h * p.w + w) * W, dx + (h * p.w + w) * W, h >= band.begin);
}

GROUPCONV_INLINE void scatter_3x3(const PoolProblem& p, const float* x, float* dx, Search search) {
  GROUPCONV_UNROLL for (int r = 0; r < 3; ++r) GROUPCONV_UNROLL for (int s = 0; s < 3; ++s)
      search.visit(x + (r * p.w + s) * W, dx + (r * p.w + s) * W, true);
}

template <bool Is3x3>
void backward(const PoolProblem& p, const PoolBuffers& b, const ExecutionContext& context) {
  for_bands(context, p, p.h, [&](int64_t plane, PoolRange band) {
    const float* x = b.x + plane * p.h * p.w * W;
    float* dx = b.dx + plane * p.h * p.w * W;
    for_windows_into(p, dx, band, [&](int64_t oh, PoolRange rows) {
      const int64_t first = (plane * p.p + oh) * p.q * W;
      const bool inside = rows.begin >= band.begin && rows.end <= band.end && rows.end - rows.begin == 3;
      for (int64_t ow = 0; ow < p.q; ++ow) {
        const PoolRange columns = pool_columns(p, ow);
        const Search search{load(b.y + first + ow * W), load(b.dy + first + ow * W), ~IntVec{}};
        const int64_t corner = (rows.begin * p.w + columns.begin) * W;
        if (Is3x3 && inside && columns.end - columns.begin == 3)
          scatter_3x3(p, x + corner, dx + corner, search);
        else
          scatter(p, x, dx, search, rows, columns, band);
      }
    });
  });
}

bool is_forward(const PoolProblem& p) { return p.kind == PoolKind::Max && !p.backward && p.block == W; }
bool is_backward(const PoolProblem& p) { return p.kind == PoolKind::Max && p.backward && p.block == W; }

constexpr PoolSolver solvers[] = {
    {"max3x3s2", [](const PoolProblem& p) { return is_forward(p) && is_3x3_stride_2(p); },
     forward_3x3_stride_2},
    {"max", is_forward, forward},
    {"max3x3s2", [](const PoolProblem& p) { return is_backward(p) && is_3x3_stride_2(p); }, backward<true>},
    {"max", is_backward, backward<false>},
};

}  // namespace

namespace GROUPCONV_ISA {
extern const PoolTable max_pool_solvers = {solvers, 4};
}

}  // namespace groupconv
