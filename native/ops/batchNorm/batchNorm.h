// Batch normalisation over N, H and W, per channel, as torch.nn.functional.batch_norm; fused with a residual
// and an activation, as networks use it:
//
//   y = activation((x - mean) * inv_std * weight + bias + residual),  inv_std = 1 / sqrt(variance + eps)
//
// Training takes mean and the biased variance from x, evaluation from the running statistics. Backward, with
// g = dy where the activation passes it, d = x - mean and M = N * H * W values per channel:
//
//   dresidual = g,  dbias = sum g,  dweight = inv_std * sum g d
//   dx = weight * inv_std * (g - sum(g) / M - d * inv_std^2 * sum(g d) / M)   in training
//   dx = weight * inv_std * g                                                 in evaluation
//
// x, y, residual [N, C, H, W] or [N, C]; weight, bias, running statistics [C].
//
// What backward needs beside x is four numbers per channel, as float32: mean, inv_std, and the scale and
// shift of y = activation((x - mean) * scale + shift), with the mean's part below float32 in the shift. Made
// again of them, (x - mean) * scale + shift has the bits it had in the forward pass, so that the activation's
// mask costs no look at y unless a residual was added.
#pragma once
#include "core/activation.h"
#include "core/dispatch.h"
#include "core/plane_moments.h"
#include "core/tensor.h"

namespace groupconv {

enum class BatchNormPass : int32_t { Train, Eval, Grad, Statistics };

struct BatchNormProblem {
  BatchNormPass pass;
  DType dtype;           // of everything shaped like x; the rest is float32
  int64_t n, c, pixels;  // pixels = H * W; Statistics uses c alone
  int32_t block;         // layout of everything shaped like x: N C/B pixels B; 1 is N C pixels
  Activation activation;
  float eps;
  float momentum;                          // Train: running = (1 - momentum) * running + momentum * batch
  bool training;                           // Grad: mean and inv_std are functions of x
  bool accumulate_x, accumulate_residual;  // Grad: dx += …
  bool accumulate_weight, accumulate_bias;

  double count() const { return static_cast<double>(n) * static_cast<double>(pixels); }
};
std::ostream& operator<<(std::ostream& out, const BatchNormProblem& problem);

// Null where absent. Pad lanes are zero and must be written as zero.
struct BatchNormBuffers {
  const float *x, *residual, *weight, *bias;
  float* y;                               // Train, Eval: written; Grad: read, or null: made again of x
  float *mean, *inv_std, *scale, *shift;  // Train, Statistics: written; Grad: read
  float *running_mean, *running_var;      // Train: updated; Eval, Statistics: read
  const float* dy;
  float *dx, *dresidual, *dweight, *dbias;
  void* workspace;
  PlaneMoments moments{};  // Train: of x, where its maker took them
};

using BatchNormSolver = Solver<BatchNormProblem, BatchNormBuffers>;
using BatchNormTable = SolverTable<BatchNormProblem, BatchNormBuffers>;
Registry<BatchNormProblem, BatchNormBuffers>& batch_norm_registry();

struct BatchNormForward {
  TensorPtr y, statistics;  // [4, C]: mean, inv_std, scale, shift
};

// weight, bias, residual and the running statistics may be null. The running variance gets the unbiased
// variance. Throws INVALID_SHAPE for a single value per channel.
BatchNormForward batch_norm_train(const Tensor& x, const Tensor* weight, const Tensor* bias,
                                  Tensor* running_mean, Tensor* running_var, float momentum, float eps,
                                  const Tensor* residual, Activation activation);
TensorPtr batch_norm_eval(const Tensor& x, const Tensor* weight, const Tensor* bias,
                          const Tensor& running_mean, const Tensor& running_var, float eps,
                          const Tensor* residual, Activation activation);
// The statistics of batch_norm_eval, for its gradient; [4, C].
TensorPtr batch_norm_statistics(const Tensor* weight, const Tensor* bias, const Tensor& running_mean,
                                const Tensor& running_var, float eps);
// `y`, the forward's result, is needed where both a residual and an activation were, else null.
// dx is written before dresidual: they may be one tensor (x is its own residual) if dresidual accumulates.
void batch_norm_grad(const Tensor& dy, const Tensor& x, const Tensor* y, const Tensor& statistics,
                     bool training, Activation activation, GradTarget dx, GradTarget dresidual,
                     GradTarget dweight, GradTarget dbias);

}  // namespace groupconv
