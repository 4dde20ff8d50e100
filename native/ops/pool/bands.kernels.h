// How the vectorised pools share their work: planes (an image's channel block), cut into bands of rows where
// planes are few. Every value is made from the same terms in the same order wherever the cuts fall, so they
// may depend on the number of threads. Only this folder's `*.simd.cpp` units include it.
#pragma once
#include "cpu/context.h"
#include "cpu/simd.h"
#include "ops/pool/pool.h"

namespace groupconv {
namespace {

GROUPCONV_INLINE int64_t plane_count(const PoolProblem& p) { return p.n * ceil_div(p.c, W); }

// Calls body(plane, band) with bands of the rows [0, rows).
template <class Body>
void for_bands(const ExecutionContext& context, const PoolProblem& p, int64_t rows, const Body& body) {
  const int64_t planes = plane_count(p), threads = static_cast<const CpuContext&>(context).threads;
  const int64_t bands =
      planes % threads == 0 || planes >= 8 * threads ? 1 : min_of(rows, ceil_div(4 * threads, planes));
  parallel_for(context, planes * bands, [&](int64_t unit) {
    const int64_t band = unit % bands;
    body(unit / bands, PoolRange{rows * band / bands, rows * (band + 1) / bands});
  });
}

// Backward, over bands of dx: zeroes the band unless it is added to, then calls body(output row, its window's
// rows, band) for the output rows whose windows reach into it, in order.
template <class Body>
void for_windows_into(const PoolProblem& p, float* dx, PoolRange band, const Body& body) {
  if (!p.accumulate)
    for (int64_t i = band.begin * p.w * W; i < band.end * p.w * W; i += W) store(dx + i, zero());
  for (int64_t oh = 0; oh < p.p; ++oh) {
    const PoolRange rows = pool_rows(p, oh);
    if (rows.begin >= band.end) break;
    if (rows.end > band.begin) body(oh, rows);
  }
}

}  // namespace
}  // namespace groupconv
