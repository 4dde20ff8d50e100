// Grouped 2-D convolution (cross-correlation), as torch.nn.functional.conv2d, with four-sided zero padding:
//
//   y[n, k, p, q] = bias[k] + sum over c in group(k), r, s of
//                   weight[k, c, r, s] * x[n, c, p * stride_h + r * dilation_h - pad_top, q * stride_w + …]
//
// x [N, C, H, W], weight [K, C / groups, R, S], bias [K], y [N, K, P, Q].
// For inference, a store may go through scale and shift (a folded BatchNorm), a residual and an activation.
#pragma once
#include "core/activation.h"
#include "core/dispatch.h"
#include "core/plane_moments.h"
#include "core/tensor.h"

namespace groupconv {

enum class Conv2dPass : int32_t { Forward, GradInput, GradWeight };

// Plain 32-bit fields without padding: its bytes are a cache key.
struct Conv2dProblem {
  Conv2dPass pass;
  DType dtype;         // of x, y and their gradients; weight, bias and dweight are float32
  int32_t n, c, h, w;  // x
  int32_t k, r, s;     // weight; c / groups input channels each
  int32_t p, q;        // y
  int32_t stride_h, stride_w, dilation_h, dilation_w;
  int32_t pad_top, pad_right, pad_bottom, pad_left;
  int32_t groups;
  int32_t x_block, y_block;  // layouts of x and dx, of y, dy and residual: 1 is N C H W
  int32_t has_bias, has_residual;
  Activation activation;        // forward only, like bias and residual
  int32_t accumulate;           // gradients: add to the target instead of replacing it
  int32_t tf32, varying_order;  // the stream's liberties

  int64_t channels_per_group() const { return c / groups; }
  int64_t outputs_per_group() const { return k / groups; }
  int64_t macs() const { return int64_t{n} * k * p * q * channels_per_group() * r * s; }
};
std::ostream& operator<<(std::ostream& out, const Conv2dProblem& problem);

// Pointers are null where the pass does not use them. Activations are in the problem's layouts; their pad
// lanes are zero and must be written as zero.
struct Conv2dBuffers {
  const float* x;         // forward, gradWeight
  const float* weight;    // forward, gradInput: row-major, or the solver's prepared form
  const float* bias;      // forward: [K], zero-padded to a multiple of 16
  const float* residual;  // forward: like y, added before the activation; may be y
  float* y;               // forward
  const float* dy;        // gradInput, gradWeight
  float* dx;              // gradInput
  float* dweight;         // gradWeight: row-major [K, C / groups, R, S]
  void* workspace;
  PlaneMoments moments{};  // forward: of y, where somebody asks and the solver takes them
};

using Conv2dSolver = Solver<Conv2dProblem, Conv2dBuffers>;
using Conv2dTable = SolverTable<Conv2dProblem, Conv2dBuffers>;
Registry<Conv2dProblem, Conv2dBuffers>& conv2d_registry();

// The step before a solver's own preparation: BatchNorm's scale goes into the weight, its shift into the
// bias.
struct Conv2dFoldProblem {
  int32_t k, per_output;  // weight elements of one output channel
  bool has_bias, has_norm;
  float eps;
};
std::ostream& operator<<(std::ostream& out, const Conv2dFoldProblem& problem);
struct Conv2dFoldBuffers {
  const float *weight, *bias, *norm_weight, *norm_bias, *mean, *variance;
  float* folded_weight;  // null without a norm
  float* folded_bias;    // [K], zero-padded to a multiple of 16
  void* workspace;
};
using Conv2dFoldSolver = Solver<Conv2dFoldProblem, Conv2dFoldBuffers>;
Registry<Conv2dFoldProblem, Conv2dFoldBuffers>& conv2d_fold_registry();

// stride, dilation: h, w. padding: top, right, bottom, left.
struct Conv2dGeometry {
  std::array<int32_t, 2> stride, dilation;
  std::array<int32_t, 4> padding;
  int32_t groups;
};

// Checks everything; throws INVALID_SHAPE or INVALID_ARGUMENT with what was given and what it implies.
Conv2dProblem conv2d_problem(const Shape& x, const Shape& weight, const Conv2dGeometry& geometry);
// The layouts that the stream's device gives to x and y, and its liberties.
void conv2d_set_stream(Conv2dProblem& problem, const Stream& stream);

// BatchNorm in evaluation: y = (conv - mean) / sqrt(var + eps) * weight + bias. All [K]; weight and bias may
// be null.
struct FoldedNorm {
  const Tensor *weight, *bias, *mean, *variance;
  float eps;
};

// Added before the activation; like y. y takes over the memory of an expendable one where that is possible.
struct Residual {
  Tensor* tensor = nullptr;
  bool expendable = false;  // nobody reads it again
};

// bias, norm and residual may be null; with all of them null and no activation this is plain conv2d.
// `normed`: a BatchNorm will ask for y's moments, which are left with y where the device takes them.
TensorPtr conv2d(const Tensor& x, const Tensor& weight, const Tensor* bias, const FoldedNorm* norm,
                 Residual residual, Activation activation, const Conv2dGeometry& geometry,
                 bool normed = false);
void conv2d_grad_input(const Tensor& dy, const Tensor& weight, const Conv2dGeometry& geometry, Tensor& dx,
                       GradMode mode);
void conv2d_grad_weight(const Tensor& x, const Tensor& dy, const Conv2dGeometry& geometry, Tensor& dweight,
                        GradMode mode);

}  // namespace groupconv
