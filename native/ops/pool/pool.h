// 2-D pooling over windows of x [N, C, H, W], y [N, C, P, Q]; torch.nn.functional.max_pool2d, avg_pool2d,
// adaptive_avg_pool2d.
//
//   max       y[p, q] = the largest x in the window; padding counts as -inf, a NaN wins. Backward, dy[p, q]
//   goes to the
//             window's first maximum in row-major order, found again by comparing x with y
//   avg       y[p, q] = sum of the window / kernel_h * kernel_w, or / its values inside x without
//   count_include_pad adaptive  the mean over rows floor(p * H / P) .. ceil((p + 1) * H / P), columns alike
//
// A window of max and avg starts at p * stride_h - pad_top, q * stride_w - pad_left.
#pragma once
#include "core/dispatch.h"
#include "core/tensor.h"

namespace groupconv {

enum class PoolKind : int32_t { Max, Avg, AdaptiveAvg };

struct PoolProblem {
  PoolKind kind;
  DType dtype;
  bool backward;
  int64_t n, c, h, w, p, q;
  int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;  // not adaptive
  bool count_include_pad;                                             // Avg
  int32_t block;                                                      // layout of everything; 1 is N C H W
  bool accumulate;                                                    // backward: dx += …
};
std::ostream& operator<<(std::ostream& out, const PoolProblem& problem);

// Null where the pass does not use them. Pad lanes are zero and must be written as zero.
struct PoolBuffers {
  const float* x;   // forward; backward of max
  float* y;         // forward: written; backward of max: read
  const float* dy;  // backward
  float* dx;        // backward
  void* workspace = nullptr;
};

using PoolSolver = Solver<PoolProblem, PoolBuffers>;
using PoolTable = SolverTable<PoolProblem, PoolBuffers>;
Registry<PoolProblem, PoolBuffers>& pool_registry();

// A window's extent along one axis, inside x; never empty.
struct PoolRange {
  int64_t begin, end;
};
static constexpr PoolRange pool_range(const PoolProblem& p, int64_t output, int64_t input_extent,
                                      int64_t output_extent, int64_t kernel, int64_t stride, int64_t pad) {
  if (p.kind == PoolKind::AdaptiveAvg)
    return {output * input_extent / output_extent,
            ((output + 1) * input_extent + output_extent - 1) / output_extent};
  const int64_t begin = output * stride - pad, end = begin + kernel;
  return {begin < 0 ? 0 : begin, end > input_extent ? input_extent : end};
}
static constexpr PoolRange pool_rows(const PoolProblem& p, int64_t output) {
  return pool_range(p, output, p.h, p.p, p.kernel_h, p.stride_h, p.pad_top);
}
static constexpr PoolRange pool_columns(const PoolProblem& p, int64_t output) {
  return pool_range(p, output, p.w, p.q, p.kernel_w, p.stride_w, p.pad_left);
}
// What the sum over a window is divided by.
static constexpr int64_t pool_divisor(const PoolProblem& p, PoolRange rows, PoolRange columns) {
  return p.kind == PoolKind::Avg && p.count_include_pad
             ? int64_t{p.kernel_h} * p.kernel_w
             : (rows.end - rows.begin) * (columns.end - columns.begin);
}

// kernel, stride: h, w. padding: top, right, bottom, left; at most half the kernel.
struct PoolGeometry {
  std::array<int32_t, 2> kernel, stride;
  std::array<int32_t, 4> padding;
};

TensorPtr max_pool2d(const Tensor& x, const PoolGeometry& geometry);
void max_pool2d_grad(const Tensor& x, const Tensor& y, const Tensor& dy, const PoolGeometry& geometry,
                     Tensor& dx, GradMode mode);
TensorPtr avg_pool2d(const Tensor& x, const PoolGeometry& geometry, bool count_include_pad);
void avg_pool2d_grad(const Tensor& dy, const PoolGeometry& geometry, bool count_include_pad, Tensor& dx,
                     GradMode mode);
TensorPtr adaptive_avg_pool2d(const Tensor& x, int64_t out_h, int64_t out_w);
void adaptive_avg_pool2d_grad(const Tensor& dy, Tensor& dx, GradMode mode);

}  // namespace groupconv
