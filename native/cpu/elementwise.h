// Element-wise loops on all threads, in chunks that don't depend on their number. Only `*.simd.cpp` units
// include it.
#pragma once
#include "core/broadcast.h"
#include "cpu/context.h"
#include "cpu/simd.h"

namespace groupconv {
namespace {

constexpr int64_t kChunk = 4096;  // elements: small enough to balance, large enough to amortise the loop

// Calls body(first, end) for chunks of [0, size).
template <class Body>
void for_chunks(const ExecutionContext& context, int64_t size, const Body& body) {
  parallel_for(context, ceil_div(size, kChunk),
               [&](int64_t chunk) { body(chunk * kChunk, min_of(size, (chunk + 1) * kChunk)); });
}

// y = combine(a, b), or y += …, of vectors of as many elements. y may be a.
template <bool Accumulate, class Combine>
void combine_elements(const ExecutionContext& context, int64_t size, const float* a, const float* b, float* y,
                      const Combine& combine) {
  for_chunks(context, size, [&](int64_t i, int64_t end) {
    for (; i + W <= end; i += W) {
      const Vec result = combine(load(a + i), load(b + i));
      store(y + i, Accumulate ? load(y + i) + result : result);
    }
    for (; i < end; ++i) {
      const float result = combine(broadcast(a[i]), broadcast(b[i]))[0];
      y[i] = Accumulate ? y[i] + result : result;
    }
  });
}

// Whether a plane [pixels, lanes] meets one and the same vector all along.
inline bool has_steady_planes(const Broadcast& p) { return p.lanes == W || p.lanes == 1; }

// The same for b [blocks, lanes] along a [n, blocks, pixels, lanes] with steady planes.
template <bool Accumulate, class Combine>
void combine_channels(const ExecutionContext& context, const Broadcast& p, const float* a, const float* b,
                      float* y, const Combine& combine) {
  const int64_t plane = p.pixels * p.lanes, chunks = ceil_div(plane, kChunk);
  parallel_for(context, p.n * p.blocks * chunks, [&](int64_t unit) {
    const int64_t which = unit / chunks, first = unit % chunks * kChunk, block = which % p.blocks;
    const Vec values = p.lanes == 1 ? broadcast(b[block]) : load(b + block * W);
    int64_t i = which * plane + first;
    const int64_t end = which * plane + min_of(plane, first + kChunk);
    for (; i + W <= end; i += W) {
      const Vec result = combine(load_unaligned(a + i), values);
      store_unaligned(y + i, Accumulate ? load_unaligned(y + i) + result : result);
    }
    for (; i < end; ++i) {
      const float result = combine(broadcast(a[i]), values)[0];
      y[i] = Accumulate ? y[i] + result : result;
    }
  });
}

}  // namespace
}  // namespace groupconv
