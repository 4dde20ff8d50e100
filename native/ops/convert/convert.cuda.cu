#include "cuda/element.h"
#include "cuda/launch.h"
#include "cuda/offer.h"
#include "ops/convert/convert.h"

namespace groupconv::cuda {
namespace {

// int32 takes part in conversions, though nothing is computed in it.
template <class Body>
void with_any_element(DType dtype, const Body& body) {
  if (dtype == DType::Int32)
    body(int32_t{});
  else
    with_element(dtype, body);
}

template <class To, class From>
__device__ __forceinline__ To converted(From value) {
  if constexpr (std::is_same_v<From, int32_t>) {
    return from_float<To>(static_cast<float>(value));
  } else if constexpr (std::is_same_v<To, int32_t>) {
    const float x = to_float(value);
    if (!(x == x)) return 0;
    return x >= 2147483648.0f ? 2147483647 : x <= -2147483648.0f ? -2147483647 - 1 : static_cast<int32_t>(x);
  } else {
    return from_float<To>(to_float(value));
  }
}

template <class From, class To>
__global__ void __launch_bounds__(kThreads)
    convert(int64_t size, const From* __restrict__ from, To* __restrict__ to) {
  GROUPCONV_GRID_STRIDE(i, size) to[i] = converted<To>(from[i]);
}

void run(const ConvertProblem& p, const ConvertBuffers& b, const ExecutionContext& context) {
  if (p.from == p.to) {
    check(cudaMemcpyAsync(b.to, b.from, static_cast<size_t>(p.size) * size_of(p.from),
                          cudaMemcpyDeviceToDevice, cuda_context(context).stream),
          "copy");
    return;
  }
  with_any_element(p.from, [&](auto from) {
    with_any_element(p.to, [&](auto to) {
      using From = decltype(from);
      using To = decltype(to);
      if constexpr (!std::is_same_v<From, To>)
        launch(context, grid_for(context, p.size), kThreads, 0, convert<From, To>, p.size,
               static_cast<const From*>(b.from), static_cast<To*>(b.to));
    });
  });
}

template <class T>
__global__ void __launch_bounds__(kThreads) fill(int64_t size, T value, T* target) {
  GROUPCONV_GRID_STRIDE(i, size) target[i] = value;
}

template <class T>
__global__ void __launch_bounds__(kThreads) fill_with(int64_t size, float value, T* target) {
  GROUPCONV_GRID_STRIDE(i, size) target[i] = from_float<T>(value);
}

void run_fill(const FillProblem& p, const FillBuffers& b, const ExecutionContext& context) {
  const dim3 grid = grid_for(context, p.size);
  if (p.dtype == DType::Int32)
    return launch(context, grid, kThreads, 0, fill<int32_t>, p.size, static_cast<int32_t>(p.value),
                  static_cast<int32_t*>(b.target));
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    launch(context, grid, kThreads, 0, fill_with<T>, p.size, static_cast<float>(p.value),
           static_cast<T*>(b.target));
  });
}

constexpr ConvertSolver solvers[] = {{"direct", [](const ConvertProblem&) { return true; }, run}};
constexpr FillSolver fill_solvers[] = {{"direct", [](const FillProblem&) { return true; }, run_fill}};
const bool offered = offer<ConvertProblem, ConvertBuffers>("convert", {{solvers, 1}}) &&
                     offer<FillProblem, FillBuffers>("fill", {{fill_solvers, 1}});

}  // namespace
}  // namespace groupconv::cuda
