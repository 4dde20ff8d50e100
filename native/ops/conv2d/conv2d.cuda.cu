// All of conv2d's solvers on CUDA, and the folding of a BatchNorm.
#include "cuda/launch.h"
#include "cuda/offer.h"
#include "ops/conv2d/conv2d.h"

namespace groupconv::cuda {

extern const Conv2dTable conv2d_depthwise, conv2d_depthwise_grad_weight, conv2d_grouped3x3,
    conv2d_grouped3x3_grad_weight, conv2d_grouped3x3_tf32, conv2d_grouped3x3_float32,
    conv2d_grouped3x3_float32_grad_weight, conv2d_cudnn, conv2d_direct;

namespace {

constexpr int kFoldThreads = 128;
constexpr int kBiasMultiple = 16;  // of the folded bias

// A block for every output channel, and for every zero behind the last one's bias.
__global__ void __launch_bounds__(kFoldThreads) fold(Conv2dFoldProblem p, Conv2dFoldBuffers b) {
  const int k = static_cast<int>(blockIdx.x);
  const bool real = k < p.k;
  float scale = 1, shift = real && p.has_bias ? b.bias[k] : 0;
  if (p.has_norm && real) {
    scale = (b.norm_weight ? b.norm_weight[k] : 1) / sqrtf(b.variance[k] + p.eps);
    shift = (shift - b.mean[k]) * scale + (b.norm_bias ? b.norm_bias[k] : 0);
    const int64_t first = int64_t{k} * p.per_output;
    for (int i = static_cast<int>(threadIdx.x); i < p.per_output; i += kFoldThreads)
      b.folded_weight[first + i] = b.weight[first + i] * scale;
  }
  if (threadIdx.x == 0) b.folded_bias[k] = shift;
}

void run_fold(const Conv2dFoldProblem& p, const Conv2dFoldBuffers& b, const ExecutionContext& context) {
  const int lanes = (p.k + kBiasMultiple - 1) / kBiasMultiple * kBiasMultiple;
  launch(context, dim3(static_cast<unsigned>(lanes)), kFoldThreads, 0, fold, p, b);
}

constexpr Conv2dFoldSolver folds[] = {{"direct", [](const Conv2dFoldProblem&) { return true; }, run_fold}};

// Most specific first; the last one takes everything.
const bool offered = offer<Conv2dProblem, Conv2dBuffers>("conv2d",
                                                         {
                                                             conv2d_depthwise,
                                                             conv2d_depthwise_grad_weight,
                                                             conv2d_grouped3x3,
                                                             conv2d_grouped3x3_grad_weight,
                                                             conv2d_grouped3x3_tf32,
                                                             conv2d_grouped3x3_float32,
                                                             conv2d_grouped3x3_float32_grad_weight,
                                                             conv2d_cudnn,
                                                             conv2d_direct,
                                                         }) &&
                     offer<Conv2dFoldProblem, Conv2dFoldBuffers>("conv2dFold", {{folds, 1}});

}  // namespace
}  // namespace groupconv::cuda
