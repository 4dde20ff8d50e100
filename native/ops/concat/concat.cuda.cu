// Copies of parts. Where both sides keep the axis alike they are rows of runs, copied 16 bytes at a time
// where everything allows it; where one side has its channels last and the other has not, element by element.
#include "cuda/element.h"
#include "cuda/launch.h"
#include "cuda/offer.h"
#include "ops/concat/concat.h"

namespace groupconv::cuda {
namespace {

// Rows of runs. A run begins `begin` elements into its row, of `pitch` elements.
struct Runs {
  int64_t rows, length;
  int64_t from_pitch, from_begin, to_pitch, to_begin;
  int64_t clear_pitch;  // to_pitch where the rest of the row becomes zero, else 0
};

template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads)
    copy_runs(Runs runs, bool accumulate, const T* __restrict__ from, T* __restrict__ to) {
  const int64_t span = (runs.clear_pitch ? runs.clear_pitch : runs.length) / kWidth;
  const int64_t first = runs.clear_pitch ? 0 : runs.to_begin;
  GROUPCONV_GRID_STRIDE(i, runs.rows * span) {
    const int64_t row = i / span, at = first + i % span * kWidth, in_run = at - runs.to_begin;
    T* const target = to + row * runs.to_pitch + at;
    Pack<T, kWidth> pack{};
    if (in_run >= 0 && in_run < runs.length) {
      pack = load_pack<kWidth>(from + row * runs.from_pitch + runs.from_begin + in_run);
      if (accumulate) {
        const auto before = load_pack<kWidth>(target);
#pragma unroll
        for (int k = 0; k < kWidth; ++k)
          pack.element[k] = from_float<T>(to_float(before.element[k]) + to_float(pack.element[k]));
      }
    }
    store_pack(target, pack);
  }
}

// Element (o, c, i) of [outer, extent, inner], or of [outer, inner, extent] with the channels last.
struct Side {
  int64_t extent, begin;
  bool channels_last;
  __device__ __forceinline__ int64_t at(int64_t o, int64_t c, int64_t i, int64_t inner) const {
    c += begin;
    return channels_last ? (o * inner + i) * extent + c : (o * extent + c) * inner + i;
  }
};

// In the target's order.
template <class T>
__global__ void __launch_bounds__(kThreads)
    copy_elements(int64_t outer, int64_t count, int64_t inner, Side source, Side target, bool accumulate,
                  const T* __restrict__ from, T* __restrict__ to) {
  const int64_t fast = target.channels_last ? count : inner, slow = target.channels_last ? inner : count;
  GROUPCONV_GRID_STRIDE(index, outer * count * inner) {
    const int64_t o = index / (fast * slow), second = index / fast % slow, first = index % fast;
    const int64_t c = target.channels_last ? first : second, i = target.channels_last ? second : first;
    const T value = from[source.at(o, c, i, inner)];
    T& place = to[target.at(o, c, i, inner)];
    place = accumulate ? from_float<T>(to_float(place) + to_float(value)) : value;
  }
}

Runs runs_of(const ConcatProblem& p, bool channels_last) {
  const int64_t unit = channels_last ? 1 : p.inner;
  const int64_t to_pitch = p.to_extent * unit;
  return {channels_last ? p.outer * p.inner : p.outer,
          p.count * unit,
          p.from_extent * unit,
          p.from_begin * unit,
          to_pitch,
          p.to_begin * unit,
          p.clear ? to_pitch : 0};
}

bool divides(const Runs& runs, int64_t width) {
  for (const int64_t extent : {runs.length, runs.from_pitch, runs.from_begin, runs.to_pitch, runs.to_begin})
    if (extent % width) return false;
  return true;
}

template <class T>
void run_as(const ConcatProblem& p, const ConcatBuffers& b, const ExecutionContext& context) {
  const bool from_last = p.from_block > 1, to_last = p.to_block > 1;
  if (from_last == to_last) {
    const Runs runs = runs_of(p, to_last);
    const int64_t elements = runs.rows * (runs.clear_pitch ? runs.clear_pitch : runs.length);
    constexpr int kWidth = kPackWidth<T>;
    if (divides(runs, kWidth))
      return launch(context, grid_for(context, elements / kWidth), kThreads, 0, copy_runs<T, kWidth>, runs,
                    p.accumulate, as<T>(b.from), as<T>(b.to));
    return launch(context, grid_for(context, elements), kThreads, 0, copy_runs<T, 1>, runs, p.accumulate,
                  as<T>(b.from), as<T>(b.to));
  }
  if (p.clear)
    check(cudaMemsetAsync(b.to, 0, static_cast<size_t>(p.outer * p.to_extent * p.inner) * sizeof(T),
                          cuda_context(context).stream),
          "clearing");
  launch(context, grid_for(context, p.outer * p.count * p.inner), kThreads, 0, copy_elements<T>, p.outer,
         p.count, p.inner, Side{p.from_extent, p.from_begin, from_last},
         Side{p.to_extent, p.to_begin, to_last}, p.accumulate, as<T>(b.from), as<T>(b.to));
}

void run(const ConcatProblem& p, const ConcatBuffers& b, const ExecutionContext& context) {
  if (p.dtype == DType::Int32) return run_as<float>(p, b, context);  // copied, never added
  with_element(p.dtype, [&](auto element) { run_as<decltype(element)>(p, b, context); });
}

constexpr ConcatSolver solvers[] = {{"copies", [](const ConcatProblem&) { return true; }, run}};
const bool offered = offer<ConcatProblem, ConcatBuffers>("concat", {{solvers, 1}});

}  // namespace
}  // namespace groupconv::cuda
