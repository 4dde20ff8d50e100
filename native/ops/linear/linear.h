// y = x weight^T + bias, as torch.nn.functional.linear. x [..., in], weight [out, in], bias [out], y [...,
// out]; the leading dimensions of x count as rows.
#pragma once
#include "core/dispatch.h"
#include "core/tensor.h"

namespace groupconv {

enum class LinearPass : int32_t { Forward, GradInput, GradWeight };

// Plain 32-bit fields without padding: its bytes are a cache key.
struct LinearProblem {
  LinearPass pass;
  DType dtype;  // of x, y, dy, dx; weight, bias and dweight are float32
  int32_t rows, in, out;
  int32_t has_bias;                     // forward
  int32_t accumulate;                   // gradients: add to the target
  int32_t tf32 = 0, varying_order = 0;  // the stream's liberties

  int64_t x_size() const { return int64_t{rows} * in; }
  int64_t y_size() const { return int64_t{rows} * out; }
  int64_t weight_size() const { return int64_t{out} * in; }
};
std::ostream& operator<<(std::ostream& out, const LinearProblem& problem);

// Row-major; null where the pass does not use them. A solver that prepares the weight gets its prepared form,
// which depends on the dtype alone: forward and gradInput share it.
struct LinearBuffers {
  const float* x;       // forward, gradWeight: [rows, in]
  const float* weight;  // forward, gradInput: [out, in]
  const float* bias;    // forward: [out]
  float* y;             // forward: [rows, out]
  const float* dy;      // gradInput, gradWeight: [rows, out]
  float* dx;            // gradInput: [rows, in]
  float* dweight;       // gradWeight: [out, in]
  void* workspace;
};

using LinearSolver = Solver<LinearProblem, LinearBuffers>;
using LinearTable = SolverTable<LinearProblem, LinearBuffers>;
Registry<LinearProblem, LinearBuffers>& linear_registry();

// x has at least two dimensions; bias may be null.
TensorPtr linear(const Tensor& x, const Tensor& weight, const Tensor* bias);
// dx = dy weight
void linear_grad_input(const Tensor& dy, const Tensor& weight, Tensor& dx, GradMode mode);
// dweight = dy^T x
void linear_grad_weight(const Tensor& x, const Tensor& dy, Tensor& dweight, GradMode mode);

}  // namespace groupconv
