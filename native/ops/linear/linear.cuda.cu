// All three passes as one matrix product; for a few rows forward, a warp for every output feature, which
// reads each weight once.
#include "cuda/offer.h"
#include "ops/linear/linear.gemm.cuda.h"
#include "ops/linear/linear.h"

namespace groupconv::cuda {

extern const LinearTable linear_cudnn;

namespace {

constexpr int64_t kBlocks = 264;     // that fill a large device
constexpr int64_t kLeastPart = 128;  // of l: shorter ones are not worth a second pass
constexpr int kThinRows = 8, kWarpsOfBlock = 4;

// C and its parts.
GemmShape shape_of(const LinearProblem& p) {
  GemmShape shape = p.pass == LinearPass::Forward     ? GemmShape{p.rows, p.out, p.in, 0}
                    : p.pass == LinearPass::GradInput ? GemmShape{p.rows, p.in, p.out, 0}
                                                      : GemmShape{p.out, p.in, p.rows, 0};
  const int64_t parts =
      std::clamp<int64_t>(kBlocks / shape.tiles(), 1, std::max<int64_t>(shape.l / kLeastPart, 1));
  shape.part = ((shape.l + parts - 1) / parts + kGemmStep - 1) / kGemmStep * kGemmStep;
  return shape;
}
int64_t parts_of(const GemmShape& shape) { return (shape.l + shape.part - 1) / shape.part; }

// Where a sum becomes an element of the result.
template <class T>
struct StoreResult {
  T* c;
  int64_t n;
  const float* bias;  // of column j, or null
  bool accumulate;
  __device__ __forceinline__ void operator()(int64_t i, int64_t j, int64_t, float sum) const {
    T& target = c[i * n + j];
    if (bias) sum += bias[j];
    target = from_float<T>(accumulate ? to_float(target) + sum : sum);
  }
};
struct StorePart {
  float* parts;  // [part, m, n]
  int64_t m, n;
  __device__ __forceinline__ void operator()(int64_t i, int64_t j, int64_t part, float sum) const {
    parts[(part * m + i) * n + j] = sum;
  }
};

template <class T>
__global__ void __launch_bounds__(kThreads)
    add_parts(int64_t m, int64_t n, int64_t count, const float* __restrict__ parts, StoreResult<T> store) {
  GROUPCONV_GRID_STRIDE(i, m * n) {
    float sum = 0;
    for (int64_t part = 0; part < count; ++part) sum += parts[part * m * n + i];
    store(i / n, i % n, 0, sum);
  }
}

template <class TA, Stored kA, class TB, Stored kB, class TC>
void multiply(const LinearProblem& p, const TA* a, const TB* b, StoreResult<TC> store, void* workspace,
              const ExecutionContext& context) {
  const GemmShape shape = shape_of(p);
  const int64_t parts = parts_of(shape);
  if (parts == 1)
    return launch(context, gemm_grid(shape), kGemmThreads, 0, gemm<TA, kA, TB, kB, StoreResult<TC>>, shape, a,
                  b, store);
  const auto sums = static_cast<float*>(workspace);
  launch(context, gemm_grid(shape), kGemmThreads, 0, gemm<TA, kA, TB, kB, StorePart>, shape, a, b,
         StorePart{sums, shape.m, shape.n});
  launch(context, grid_for(context, shape.m * shape.n), kThreads, 0, add_parts<TC>, shape.m, shape.n, parts,
         sums, store);
}

void run(const LinearProblem& p, const LinearBuffers& b, const ExecutionContext& context) {
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    constexpr Stored kAlong = Stored::Along, kAcross = Stored::Across;
    switch (p.pass) {
      case LinearPass::Forward:
        return multiply<T, kAlong, float, kAlong>(
            p, as<T>(b.x), b.weight, StoreResult<T>{as<T>(b.y), p.out, p.has_bias ? b.bias : nullptr, false},
            b.workspace, context);
      case LinearPass::GradInput:
        return multiply<T, kAlong, float, kAcross>(
            p, as<T>(b.dy), b.weight, StoreResult<T>{as<T>(b.dx), p.in, nullptr, p.accumulate != 0},
            b.workspace, context);
      case LinearPass::GradWeight:
        return multiply<T, kAcross, T, kAcross>(
            p, as<T>(b.dy), as<T>(b.x), StoreResult<float>{b.dweight, p.in, nullptr, p.accumulate != 0},
            b.workspace, context);
    }
  });
}

size_t workspace_bytes(const LinearProblem& p) {
  const GemmShape shape = shape_of(p);
  const int64_t parts = parts_of(shape);
  return parts == 1 ? 0 : static_cast<size_t>(parts * shape.m * shape.n) * sizeof(float);
}

// y [rows, out], rows at most kThinRows: lanes share the features by kWidth.
template <class T, int kWidth>
__global__ void __launch_bounds__(kWarp* kWarpsOfBlock)
    thin(LinearProblem p, const T* __restrict__ x, const float* __restrict__ weight,
         const float* __restrict__ bias, T* __restrict__ y) {
  const int64_t out = int64_t{blockIdx.x} * kWarpsOfBlock + threadIdx.y;
  if (out >= p.out) return;  // a whole warp
  float sums[kThinRows] = {};
  for (int64_t i = int64_t{threadIdx.x} * kWidth; i < p.in; i += kWarp * kWidth) {
    const auto weights = load_pack<kWidth>(weight + out * p.in + i);
#pragma unroll
    for (int row = 0; row < kThinRows; ++row) {
      if (row >= p.rows) break;
      const auto features = load_pack<kWidth>(x + int64_t{row} * p.in + i);
#pragma unroll
      for (int k = 0; k < kWidth; ++k) sums[row] += weights.element[k] * to_float(features.element[k]);
    }
  }
#pragma unroll
  for (int row = 0; row < kThinRows; ++row) {
    const float sum = reduce_warp(sums[row], Sum());
    if (row < p.rows && threadIdx.x == 0)
      y[int64_t{row} * p.out + out] = from_float<T>(p.has_bias ? sum + bias[out] : sum);
  }
}

void run_thin(const LinearProblem& p, const LinearBuffers& b, const ExecutionContext& context) {
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    const dim3 grid(static_cast<unsigned>((int64_t{p.out} + kWarpsOfBlock - 1) / kWarpsOfBlock));
    launch(context, grid, dim3(kWarp, kWarpsOfBlock), 0, p.in % 4 ? thin<T, 1> : thin<T, 4>, p, as<T>(b.x),
           b.weight, b.bias, as<T>(b.y));
  });
}

bool is_thin(const LinearProblem& p) { return p.pass == LinearPass::Forward && p.rows <= kThinRows; }

constexpr LinearSolver thin_solver = {"thin", is_thin, run_thin};
constexpr LinearSolver tiles_solver = {"tiles", [](const LinearProblem&) { return true; }, run,
                                       workspace_bytes};

}  // namespace

extern const LinearTable linear_tiles = {&tiles_solver, 1};

namespace {

const bool offered =
    offer<LinearProblem, LinearBuffers>("linear", {{&thin_solver, 1}, linear_cudnn, linear_tiles});

}  // namespace
}  // namespace groupconv::cuda
