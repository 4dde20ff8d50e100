#include "cuda/activate.h"
#include "cuda/elementwise.h"
#include "cuda/offer.h"
#include "ops/activation/activation.h"

namespace groupconv::cuda {
namespace {

// The nonlinearities: f(x), and as f(saved, dy) their gradients. NaN stays NaN.
struct Clamped {
  Activation kind;
  __device__ __forceinline__ float operator()(float x) const { return activate(kind, x); }
  __device__ __forceinline__ float operator()(float y, float dy) const {
    return stops_gradient(kind, y) ? 0 : dy;
  }
};

// s = sigmoid(x) and 1 - s, neither of which cancels or overflows.
struct Logistic {
  float value, rest;
  __device__ __forceinline__ explicit Logistic(float x) {
    const float e = expf(-fabsf(x)), larger = 1 / (1 + e), smaller = e * larger;
    value = x < 0 ? smaller : larger;
    rest = x < 0 ? larger : smaller;
  }
};

struct Sigmoid {
  __device__ __forceinline__ float operator()(float x) const { return Logistic(x).value; }
  __device__ __forceinline__ float operator()(float y, float dy) const { return dy * (1 - y) * y; }
};

struct Silu {
  __device__ __forceinline__ float operator()(float x) const { return x * Logistic(x).value; }
  __device__ __forceinline__ float operator()(float x, float dy) const {
    const Logistic s(x);
    return dy * s.value * (1 + x * s.rest);
  }
};

__device__ __forceinline__ float relu6_of(float x) { return activate(Activation::Relu6, x); }

struct Hardsigmoid {
  __device__ __forceinline__ float operator()(float x) const { return relu6_of(x + 3) * (1.0f / 6); }
  __device__ __forceinline__ float operator()(float y, float dy) const {
    return y > 0 && y < 1 ? dy * (1.0f / 6) : 0;
  }
};

struct Hardswish {
  __device__ __forceinline__ float operator()(float x) const { return x * relu6_of(x + 3) * (1.0f / 6); }
  __device__ __forceinline__ float operator()(float x, float dy) const {
    return x < -3 ? 0 : x >= 3 ? dy : dy * (x * (1.0f / 3) + 0.5f);
  }
};

template <class Body>
void with_nonlinearity(Nonlinearity kind, const Body& body) {
  switch (kind) {
    case Nonlinearity::Relu:
      return body(Clamped{Activation::Relu});
    case Nonlinearity::Relu6:
      return body(Clamped{Activation::Relu6});
    case Nonlinearity::Sigmoid:
      return body(Sigmoid());
    case Nonlinearity::Silu:
      return body(Silu());
    case Nonlinearity::Hardsigmoid:
      return body(Hardsigmoid());
    case Nonlinearity::Hardswish:
      return body(Hardswish());
  }
}

// Whole packs of 16 bytes, then the rest one by one.
template <class T, class F>
__global__ void __launch_bounds__(kThreads)
    forward(F f, int64_t size, const T* __restrict__ x, T* __restrict__ y) {
  constexpr int kWidth = kPackWidth<T>;
  GROUPCONV_GRID_STRIDE(i, size / kWidth) {
    auto pack = load_pack<kWidth>(x + i * kWidth);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) pack.element[k] = from_float<T>(f(to_float(pack.element[k])));
    store_pack(y + i * kWidth, pack);
  }
  const int64_t i = after_packs<kWidth>(size);
  if (i < size) y[i] = from_float<T>(f(to_float(x[i])));
}

void run(const ActivationProblem& p, const ActivationBuffers& b, const ExecutionContext& context) {
  with_nonlinearity(p.kind, [&](const auto& f) {
    if (p.backward) return queue_elements(context, p.dtype, f, p.accumulate, p.size, b.saved, b.dy, b.dx);
    with_element(p.dtype, [&](auto element) {
      using T = decltype(element);
      using F = std::decay_t<decltype(f)>;
      const dim3 grid = grid_for(context, (p.size + kPackWidth<T> - 1) / kPackWidth<T>);
      launch(context, grid, kThreads, 0, forward<T, F>, f, p.size, as<T>(b.x), as<T>(b.y));
    });
  });
}

bool has_no_pads(const ActivationProblem& p) { return p.last_lanes == p.lanes; }

constexpr ActivationSolver solvers[] = {{"packs", has_no_pads, run}};
const bool offered = offer<ActivationProblem, ActivationBuffers>("activation", {{solvers, 1}});

}  // namespace
}  // namespace groupconv::cuda
