#include "ops/pool/bands.kernels.h"

namespace groupconv {
namespace {

constexpr int64_t kRunRows = 128;  // vectors that are summed in float32 before they go into float64

// Adds `count` neighbouring vectors.
GROUPCONV_INLINE void add_run(const float* x, int64_t count, double* sums) {
  for (int64_t first = 0; first < count; first += kRunRows) {
    const int64_t end = min_of(count, first + kRunRows);
    Vec sum[4] = {};
    int64_t i = first;
    for (; i + 4 <= end; i += 4) GROUPCONV_UNROLL for (int j = 0; j < 4; ++j) sum[j] += load(x + (i + j) * W);
    for (; i < end; ++i) sum[0] += load(x + i * W);
    float lanes[W];
    store_unaligned(lanes, (sum[0] + sum[1]) + (sum[2] + sum[3]));
    for (int lane = 0; lane < W; ++lane) sums[lane] += static_cast<double>(lanes[lane]);
  }
}

// x: a plane. A window as wide as the plane is one run: global average pooling reads its plane straight
// through.
GROUPCONV_KERNEL void average(const PoolProblem& p, const float* x, float* y, PoolRange rows,
                              PoolRange columns) {
  double sums[W] = {};
  const int64_t width = columns.end - columns.begin;
  if (width == p.w) {
    add_run(x + rows.begin * p.w * W, (rows.end - rows.begin) * width, sums);
  } else {
    for (int64_t h = rows.begin; h < rows.end; ++h) add_run(x + (h * p.w + columns.begin) * W, width, sums);
  }
  const double divisor = static_cast<double>(pool_divisor(p, rows, columns));
  for (int lane = 0; lane < W; ++lane) y[lane] = static_cast<float>(sums[lane] / divisor);
}

void forward(const PoolProblem& p, const PoolBuffers& b, const ExecutionContext& context) {
  for_bands(context, p, p.p, [&](int64_t plane, PoolRange band) {
    for (int64_t oh = band.begin; oh < band.end; ++oh)
      for (int64_t ow = 0; ow < p.q; ++ow)
        average(p, b.x + plane * p.h * p.w * W, b.y + ((plane * p.p + oh) * p.q + ow) * W, pool_rows(p, oh),
                pool_columns(p, ow));
  });
}

void backward(const PoolProblem& p, const PoolBuffers& b, const ExecutionContext& context) {
  for_bands(context, p, p.h, [&](int64_t plane, PoolRange band) {
    float* dx = b.dx + plane * p.h * p.w * W;
    for_windows_into(p, dx, band, [&](int64_t oh, PoolRange rows) {
      for (int64_t ow = 0; ow < p.q; ++ow) {
        const PoolRange columns = pool_columns(p, ow);
        const Vec part = load(b.dy + ((plane * p.p + oh) * p.q + ow) * W) /
                         broadcast(static_cast<float>(pool_divisor(p, rows, columns)));
        for (int64_t h = max_of(rows.begin, band.begin); h < min_of(rows.end, band.end); ++h)
          for (int64_t i = (h * p.w + columns.begin) * W; i < (h * p.w + columns.end) * W; i += W)
            store(dx + i, load(dx + i) + part);
      }
    });
  });
}

bool is_global(const PoolProblem& p) { return p.kind == PoolKind::AdaptiveAvg && p.p == 1 && p.q == 1; }

// Every value of a plane gets the same: written once, not zeroed first.
void backward_global(const PoolProblem& p, const PoolBuffers& b, const ExecutionContext& context) {
  const Vec divisor = broadcast(static_cast<float>(p.h * p.w));
  for_bands(context, p, p.h, [&](int64_t plane, PoolRange band) {
    const Vec part = load(b.dy + plane * W) / divisor;
    float* dx = b.dx + plane * p.h * p.w * W;
    for (int64_t i = band.begin * p.w * W; i < band.end * p.w * W; i += W)
      store(dx + i, p.accumulate ? load(dx + i) + part : part);
  });
}

bool is_average(const PoolProblem& p) { return p.kind != PoolKind::Max && p.block == W; }

constexpr PoolSolver solvers[] = {
    {"average", [](const PoolProblem& p) { return is_average(p) && !p.backward; }, forward},
    {"globalAverage", [](const PoolProblem& p) { return is_average(p) && p.backward && is_global(p); },
     backward_global},
    {"average", [](const PoolProblem& p) { return is_average(p) && p.backward; }, backward},
};

}  // namespace

namespace GROUPCONV_ISA {
extern const PoolTable avg_pool_solvers = {solvers, 3};
}

}  // namespace groupconv
