// What a solver on the CPU may use: threads. Included by units of every instruction set, so everything here
// is internal to the including unit or plain data.
#pragma once
#include <cstdint>

#include "core/solver.h"

namespace groupconv {

struct CpuContext : ExecutionContext {
  explicit CpuContext(int threads) : threads(threads) {}
  int threads;
};

using ParallelBody = void (*)(const void* body, int thread, int threads);
// Calls body(thread, threads) on every thread of the context, the calling one included; returns when all are
// done.
void run_parallel(const CpuContext& context, ParallelBody call, const void* body);

// parallel(context, [&](int thread, int threads) { … }). Results must not depend on `threads`.
template <class Body>
static inline void parallel(const ExecutionContext& context, const Body& body) {
  run_parallel(
      static_cast<const CpuContext&>(context),
      [](const void* held, int thread, int threads) { (*static_cast<const Body*>(held))(thread, threads); },
      &body);
}

struct Range {
  int64_t begin, end;
};

// The contiguous part of [0, total) that belongs to one thread.
static inline Range share(int64_t total, int thread, int threads) {
  return {total * thread / threads, total * (thread + 1) / threads};
}

// parallel_for(context, count, [&](int64_t i) { … }): every i once, contiguous ranges per thread.
template <class Body>
static inline void parallel_for(const ExecutionContext& context, int64_t count, const Body& body) {
  const int threads = static_cast<const CpuContext&>(context).threads;
  parallel(CpuContext(count < threads ? static_cast<int>(count) : threads), [&](int thread, int of) {
    const Range range = share(count, thread, of);
    for (int64_t i = range.begin; i < range.end; ++i) body(i);
  });
}

}  // namespace groupconv
