#include "cuda/activate.h"
#include "cuda/element.h"
#include "cuda/launch.h"
#include "cuda/offer.h"
#include "ops/activation/activation.h"

namespace groupconv::cuda {
namespace {

// Whole packs of 16 bytes, then the rest one by one.
template <class T>
__global__ void __launch_bounds__(kThreads)
    forward(Activation kind, int64_t size, const T* __restrict__ x, T* __restrict__ y) {
  constexpr int kWidth = kPackWidth<T>;
  GROUPCONV_GRID_STRIDE(i, size / kWidth) {
    auto pack = load_pack<kWidth>(x + i * kWidth);
#pragma unroll
    for (int k = 0; k < kWidth; ++k)
      pack.element[k] = from_float<T>(activate(kind, to_float(pack.element[k])));
    store_pack(y + i * kWidth, pack);
  }
  const int64_t done = size / kWidth * kWidth;
  GROUPCONV_GRID_STRIDE(i, size - done) y[done + i] = from_float<T>(activate(kind, to_float(x[done + i])));
}

template <class T>
__device__ __forceinline__ T gradient(const ActivationProblem& p, T y, T dy, T before) {
  const float passed = stops_gradient(p.kind, to_float(y)) ? 0 : to_float(dy);
  return from_float<T>(p.accumulate ? to_float(before) + passed : passed);
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    backward(ActivationProblem p, const T* __restrict__ y, const T* __restrict__ dy, T* __restrict__ dx) {
  constexpr int kWidth = kPackWidth<T>;
  GROUPCONV_GRID_STRIDE(i, p.size / kWidth) {
    const auto ys = load_pack<kWidth>(y + i * kWidth), dys = load_pack<kWidth>(dy + i * kWidth);
    Pack<T, kWidth> dxs{};
    if (p.accumulate) dxs = load_pack<kWidth>(dx + i * kWidth);
#pragma unroll
    for (int k = 0; k < kWidth; ++k)
      dxs.element[k] = gradient(p, ys.element[k], dys.element[k], dxs.element[k]);
    store_pack(dx + i * kWidth, dxs);
  }
  const int64_t done = p.size / kWidth * kWidth;
  GROUPCONV_GRID_STRIDE(i, p.size - done)
  dx[done + i] = gradient(p, y[done + i], dy[done + i], p.accumulate ? dx[done + i] : T{});
}

void run(const ActivationProblem& p, const ActivationBuffers& b, const ExecutionContext& context) {
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    const dim3 grid = grid_for(context, (p.size + kPackWidth<T> - 1) / kPackWidth<T>);
    if (p.backward)
      launch(context, grid, kThreads, 0, backward<T>, p, as<T>(b.y), as<T>(b.dy), as<T>(b.dx));
    else
      launch(context, grid, kThreads, 0, forward<T>, p.kind, p.size, as<T>(b.x), as<T>(b.y));
  });
}

constexpr ActivationSolver solvers[] = {{"packs", [](const ActivationProblem&) { return true; }, run}};
const bool offered = offer<ActivationProblem, ActivationBuffers>("activation", {{solvers, 1}});

}  // namespace
}  // namespace groupconv::cuda
