#include "ops/concat/concat.h"
#include "cpu/context.h"
#include "cpu/simd.h"

namespace groupconv {
namespace {

constexpr int64_t kChunk = 16384;  // elements of one piece of work

void clear(float* to, int64_t count) { __builtin_memset(to, 0, static_cast<size_t>(count) * sizeof(float)); }

void copy(const float* from, float* to, int64_t count, bool accumulate) {
  if (!accumulate) {
    __builtin_memcpy(to, from, static_cast<size_t>(count) * sizeof(float));
    return;
  }
  int64_t i = 0;
  for (; i + W <= count; i += W) store_unaligned(to + i, load_unaligned(to + i) + load_unaligned(from + i));
  for (; i < count; ++i) to[i] += from[i];
}

// The axis lies in runs: of every [extent, inner] one contiguous part moves.
void runs(const ConcatProblem& p, const ConcatBuffers& b, const ExecutionContext& context) {
  const int64_t run = p.count * p.inner, before = p.to_begin * p.inner, whole = p.to_extent * p.inner;
  const int64_t pieces = ceil_div(run, kChunk);
  parallel_for(context, p.outer * pieces, [&](int64_t i) {
    const int64_t o = i / pieces, first = i % pieces * kChunk;
    const float* from = b.from + (o * p.from_extent + p.from_begin) * p.inner;
    float* to = b.to + o * whole;
    copy(from + first, to + before + first, min_of(kChunk, run - first), p.accumulate);
    if (p.clear && first == 0) {
      clear(to, before);
      clear(to + before + run, whole - before - run);
    }
  });
}

// Channels move to other lanes. A piece of work is one block of the target, [inner, to_block].
void lanes(const ConcatProblem& p, const ConcatBuffers& b, const ExecutionContext& context) {
  const int64_t from_blocks = ceil_div(p.from_extent, p.from_block),
                to_blocks = ceil_div(p.to_extent, p.to_block);
  const int64_t to_end = p.to_begin + p.count;
  parallel_for(context, p.outer * to_blocks, [&](int64_t i) {
    const int64_t o = i / to_blocks, block = i % to_blocks, first = block * p.to_block;
    float* to = b.to + i * p.inner * p.to_block;
    if (p.clear) clear(to, p.inner * p.to_block);
    for (int64_t lane = 0; lane < p.to_block; ++lane) {
      const int64_t channel = first + lane;  // of the target
      if (channel >= p.to_begin && channel < to_end) {
        const int64_t source = channel - p.to_begin + p.from_begin;
        const float* from = b.from + (o * from_blocks + source / p.from_block) * p.inner * p.from_block +
                            source % p.from_block;
        for (int64_t j = 0; j < p.inner; ++j) {
          float& value = to[j * p.to_block + lane];
          value = p.accumulate ? value + from[j * p.from_block] : from[j * p.from_block];
        }
      } else if (channel >= p.to_extent && to_end == p.to_extent) {
        for (int64_t j = 0; j < p.inner; ++j) to[j * p.to_block + lane] = 0;
      }
    }
  });
}

constexpr ConcatSolver solvers[] = {
    {"runs", [](const ConcatProblem& p) { return p.from_block == 1 && p.to_block == 1; }, runs},
    {"lanes", [](const ConcatProblem&) { return true; }, lanes},
};

}  // namespace

namespace GROUPCONV_ISA {
extern const ConcatTable concat_solvers = {solvers, 2};
}

}  // namespace groupconv
