// Rows that lie in one piece: a warp each, or a block where they are long. Rows along another axis: a thread
// each, beside its neighbours'.
#include "cuda/element.h"
#include "cuda/launch.h"
#include "cuda/offer.h"
#include "cuda/reduce.h"
#include "ops/softmax/softmax.h"

namespace groupconv::cuda {
namespace {

constexpr int kLongRow = 4096;
constexpr int kLongThreads = 512;
constexpr int kRowsOfBlock = 8;  // with a warp each

// One row in the hands of `kLanes` threads, or of one. Element c lies at c * step.
template <int kLanes>
struct Lanes {
  int64_t count, step;
  int first;
  template <class Body>
  __device__ __forceinline__ void for_each(const Body& body) const {
    for (int64_t c = first; c < count; c += kLanes) body(c * step);
  }
  template <class Combine>
  __device__ __forceinline__ float reduce(float value, Combine combine) const {
    if constexpr (kLanes == 1)
      return value;
    else
      return reduce_block<kLanes>(value, combine);
  }
};

template <class T, int kLanes>
__device__ __forceinline__ void forward(const Lanes<kLanes>& lanes, bool log, const T* __restrict__ x,
                                        T* __restrict__ y) {
  float top = -INFINITY, sum = 0;
  lanes.for_each([&](int64_t i) { top = Largest()(top, to_float(x[i])); });
  top = lanes.reduce(top, Largest());
  lanes.for_each([&](int64_t i) { sum += expf(to_float(x[i]) - top); });
  sum = lanes.reduce(sum, Sum());
  const float scale = 1 / sum, shift = logf(sum);
  lanes.for_each([&](int64_t i) {
    const float distance = to_float(x[i]) - top;
    y[i] = from_float<T>(log ? distance - shift : expf(distance) * scale);
  });
}

template <class T, int kLanes>
__device__ __forceinline__ void backward(const Lanes<kLanes>& lanes, bool log, bool accumulate,
                                         const T* __restrict__ y, const T* __restrict__ dy,
                                         T* __restrict__ dx) {
  float sum = 0;
  lanes.for_each([&](int64_t i) { sum += log ? to_float(dy[i]) : to_float(dy[i]) * to_float(y[i]); });
  sum = lanes.reduce(sum, Sum());
  lanes.for_each([&](int64_t i) {
    const float gradient =
        log ? to_float(dy[i]) - expf(to_float(y[i])) * sum : to_float(y[i]) * (to_float(dy[i]) - sum);
    dx[i] = from_float<T>(accumulate ? to_float(dx[i]) + gradient : gradient);
  });
}

template <class T, int kLanes>
__device__ __forceinline__ void row_at(const SoftmaxProblem& p, const SoftmaxBuffers& b, int64_t offset,
                                       int lane) {
  const Lanes<kLanes> lanes{p.count, p.inner, lane};
  if (p.backward)
    backward(lanes, p.log, p.accumulate, as<T>(b.y) + offset, as<T>(b.dy) + offset, as<T>(b.dx) + offset);
  else
    forward(lanes, p.log, as<T>(b.x) + offset, as<T>(b.y) + offset);
}

// blockDim: kLanes, rows of the block.
template <class T, int kLanes>
__global__ void __launch_bounds__(kLanes == kWarp ? kWarp * kRowsOfBlock : kLanes)
    contiguous(SoftmaxProblem p, SoftmaxBuffers b) {
  const int64_t row = int64_t{blockIdx.x} * blockDim.y + threadIdx.y;
  if (row < p.outer) row_at<T, kLanes>(p, b, row * p.count, static_cast<int>(threadIdx.x));
}

template <class T>
__global__ void __launch_bounds__(kThreads) strided(SoftmaxProblem p, SoftmaxBuffers b) {
  GROUPCONV_GRID_STRIDE(i, p.outer * p.inner)
  row_at<T, 1>(p, b, i / p.inner * p.count * p.inner + i % p.inner, 0);
}

void run(const SoftmaxProblem& p, const SoftmaxBuffers& b, const ExecutionContext& context) {
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    if (p.inner > 1)
      launch(context, grid_for(context, p.outer * p.inner), kThreads, 0, strided<T>, p, b);
    else if (p.count > kLongRow)
      launch(context, dim3(static_cast<unsigned>(p.outer)), kLongThreads, 0, contiguous<T, kLongThreads>, p,
             b);
    else
      launch(context, dim3(static_cast<unsigned>((p.outer + kRowsOfBlock - 1) / kRowsOfBlock)),
             dim3(kWarp, kRowsOfBlock), 0, contiguous<T, kWarp>, p, b);
  });
}

constexpr SoftmaxSolver solvers[] = {{"rows", [](const SoftmaxProblem&) { return true; }, run}};
const bool offered = offer<SoftmaxProblem, SoftmaxBuffers>("softmax", {{solvers, 1}});

}  // namespace
}  // namespace groupconv::cuda
