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
// x, y, residual [N, C, H, W] or [N, C]; weight, bias, statistics [C].
#pragma once
#include "core/activation.h"
#include "core/dispatch.h"
#include "core/tensor.h"

namespace groupconv {

enum class BatchNormPass : int32_t { Train, Eval, Grad, InvStd };

struct BatchNormProblem {
  BatchNormPass pass;
  int64_t n, c, pixels;  // pixels = H * W; InvStd uses c alone
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
  float* y;                           // Train, Eval: written; Grad: read where there is an activation
  float *mean, *inv_std;              // Train, InvStd: written; Grad: read
  float *running_mean, *running_var;  // Train: updated; Eval, InvStd: read
  const float* dy;
  float *dx, *dresidual, *dweight, *dbias;
  void* workspace;
};

using BatchNormSolver = Solver<BatchNormProblem, BatchNormBuffers>;
using BatchNormTable = SolverTable<BatchNormProblem, BatchNormBuffers>;
Registry<BatchNormProblem, BatchNormBuffers>& batch_norm_registry();

struct BatchNormForward {
  TensorPtr y, mean, inv_std;  // mean, inv_std [C]: what backward needs
};

// weight, bias, residual and the running statistics may be null. The running variance gets the unbiased
// variance. Throws INVALID_SHAPE for a single value per channel.
BatchNormForward batch_norm_train(const Tensor& x, const Tensor* weight, const Tensor* bias,
                                  Tensor* running_mean, Tensor* running_var, float momentum, float eps,
                                  const Tensor* residual, Activation activation);
TensorPtr batch_norm_eval(const Tensor& x, const Tensor* weight, const Tensor* bias,
                          const Tensor& running_mean, const Tensor& running_var, float eps,
                          const Tensor* residual, Activation activation);
// 1 / sqrt(variance + eps), [C]: what batch_norm_grad wants in evaluation, with the running mean.
TensorPtr inv_std(const Tensor& variance, float eps);
// `y` is the forward's result and is needed where there is an activation.
// dx is written before dresidual: they may be one tensor (x is its own residual) if dresidual accumulates.
void batch_norm_grad(const Tensor& dy, const Tensor& x, const Tensor* y, const Tensor* weight,
                     const Tensor& mean, const Tensor& inv_std, bool training, Activation activation,
                     GradTarget dx, GradTarget dresidual, GradTarget dweight, GradTarget dbias);

}  // namespace groupconv
