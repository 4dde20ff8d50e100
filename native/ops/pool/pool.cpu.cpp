// The CPU's solver list for pooling, and its plain reference: any layout, averages in float64.
#include <cmath>
#include <vector>

#include "cpu/context.h"
#include "cpu/offer.h"
#include "ops/pool/pool.h"

namespace groupconv {

GROUPCONV_PER_ISA(PoolTable, max_pool_solvers)
GROUPCONV_PER_ISA(PoolTable, avg_pool_solvers)

namespace {

// One channel of one image: element (h, w) of a plane that is `width` wide lies at [(h * width + w) * step].
struct Plane {
  int64_t x, y;  // offsets of the channel in x and in y
  int64_t step;
};

template <class Body>
void for_planes(const PoolProblem& p, const ExecutionContext& context, const Body& body) {
  const int64_t lanes = (p.c + p.block - 1) / p.block * p.block;
  parallel_for(context, p.n * lanes, [&](int64_t i) {
    const int64_t first = i / p.block, lane = i % p.block;  // n * blocks + c / block
    body(Plane{first * p.h * p.w * p.block + lane, first * p.p * p.q * p.block + lane, p.block});
  });
}

// Calls body(output offset, rows, columns) for every output of a plane, in row-major order.
template <class Body>
void for_outputs(const PoolProblem& p, const Plane& plane, const Body& body) {
  for (int64_t oh = 0; oh < p.p; ++oh)
    for (int64_t ow = 0; ow < p.q; ++ow)
      body(plane.y + (oh * p.q + ow) * plane.step, pool_rows(p, oh), pool_columns(p, ow));
}

// Calls body(index in the plane, offset) for the values of a window; stops when it returns true.
template <class Body>
void for_window(const PoolProblem& p, const Plane& plane, PoolRange rows, PoolRange columns,
                const Body& body) {
  for (int64_t h = rows.begin; h < rows.end; ++h)
    for (int64_t w = columns.begin; w < columns.end; ++w)
      if (body(h * p.w + w, plane.x + (h * p.w + w) * plane.step)) return;
}

void forward(const PoolProblem& p, const PoolBuffers& b, const ExecutionContext& context) {
  for_planes(p, context, [&](const Plane& plane) {
    for_outputs(p, plane, [&](int64_t output, PoolRange rows, PoolRange columns) {
      float largest = -INFINITY;
      double sum = 0;
      for_window(p, plane, rows, columns, [&](int64_t, int64_t i) {
        if (b.x[i] > largest || std::isnan(b.x[i])) largest = b.x[i];
        sum += b.x[i];
        return false;
      });
      b.y[output] = p.kind == PoolKind::Max
                        ? largest
                        : static_cast<float>(sum / static_cast<double>(pool_divisor(p, rows, columns)));
    });
  });
}

void backward(const PoolProblem& p, const PoolBuffers& b, const ExecutionContext& context) {
  for_planes(p, context, [&](const Plane& plane) {
    std::vector<double> dx(static_cast<size_t>(p.h * p.w));
    for_outputs(p, plane, [&](int64_t output, PoolRange rows, PoolRange columns) {
      for_window(p, plane, rows, columns, [&](int64_t at, int64_t i) {
        if (p.kind != PoolKind::Max) {
          dx[at] += b.dy[output] / static_cast<double>(pool_divisor(p, rows, columns));
          return false;
        }
        const bool first = b.x[i] == b.y[output] || std::isnan(b.x[i]);
        if (first) dx[at] += b.dy[output];
        return first;
      });
    });
    for (int64_t at = 0; at < p.h * p.w; ++at) {
      float& target = b.dx[plane.x + at * plane.step];
      target = static_cast<float>(p.accumulate ? target + dx[at] : dx[at]);
    }
  });
}

constexpr PoolSolver references[] = {
    {"reference", [](const PoolProblem& p) { return !p.backward; }, forward},
    {"reference", [](const PoolProblem& p) { return p.backward; }, backward},
};

const bool offered = offer<pool_registry, references, max_pool_solvers_for, avg_pool_solvers_for>();

}  // namespace
}  // namespace groupconv
