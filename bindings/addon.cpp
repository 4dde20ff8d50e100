// The addon's table of contents: one line per operator function. lib/native.ts repeats it as types.
#include "bind.h"
#include "device_api.h"
#include "ops/activation/activation.h"
#include "ops/add/add.h"
#include "ops/batchNorm/batchNorm.h"
#include "ops/biasGrad/biasGrad.h"
#include "ops/clipGradNorm/clipGradNorm.h"
#include "ops/concat/concat.h"
#include "ops/convert/convert.h"
#include "ops/crossEntropy/crossEntropy.h"
#include "ops/lerp/lerp.h"
#include "ops/linear/linear.h"
#include "ops/mul/mul.h"
#include "ops/optimizer/optimizer.h"
#include "ops/pool/pool.h"
#include "ops/random/random.h"
#include "ops/softmax/softmax.h"
#include "recording_api.h"

namespace groupconv {
namespace {

TensorPtr conv2d_fused(const Tensor& x, const Tensor& weight, const Tensor* bias, const Tensor* norm_weight,
                       const Tensor* norm_bias, const Tensor* norm_mean, const Tensor* norm_variance,
                       float eps, Residual residual, Activation activation, const Conv2dGeometry& geometry) {
  const FoldedNorm norm{norm_weight, norm_bias, norm_mean, norm_variance, eps};
  return conv2d(x, weight, bias, norm_mean ? &norm : nullptr, residual, activation, geometry);
}

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new Environment(env));  // deleted with the environment
  bind_device_api(env, exports);
  bind_recording_api(env, exports);
  // conv2d(x, weight, bias | null, ...geometry): handle
  bind<[](const Tensor& x, const Tensor& w, const Tensor* bias, const Conv2dGeometry& g) {
    return conv2d(x, w, bias, nullptr, {}, Activation::None, g);
  }>(env, exports, "conv2d");
  // conv2dNormed(x, weight, bias | null, ...geometry): handle
  bind<[](const Tensor& x, const Tensor& w, const Tensor* bias, const Conv2dGeometry& g) {
    return conv2d(x, w, bias, nullptr, {}, Activation::None, g, true);
  }>(env, exports, "conv2dNormed");
  // conv2dFused(x, weight, bias, normWeight, normBias, mean, variance, eps, residual, expendable, activation,
  // ...geometry): handle
  bind<conv2d_fused>(env, exports, "conv2dFused");
  // conv2dGradInput(dy, weight, dx, accumulate, ...geometry)
  bind<[](const Tensor& dy, const Tensor& w, Tensor& dx, GradMode mode, const Conv2dGeometry& g) {
    conv2d_grad_input(dy, w, g, dx, mode);
  }>(env, exports, "conv2dGradInput");
  // conv2dGradWeight(x, dy, dweight, accumulate, ...geometry)
  bind<[](const Tensor& x, const Tensor& dy, Tensor& dweight, GradMode mode, const Conv2dGeometry& g) {
    conv2d_grad_weight(x, dy, g, dweight, mode);
  }>(env, exports, "conv2dGradWeight");
  // activation(x, kind): handle
  bind<activation>(env, exports, "activation");
  // activationGrad(saved, dy, kind, dx, accumulate)
  bind<activation_grad>(env, exports, "activationGrad");
  // add(a, b, activation): handle
  bind<add>(env, exports, "add");
  // accumulate(target, addend)
  bind<accumulate>(env, exports, "accumulate");
  // mul(a, b): handle
  bind<mul>(env, exports, "mul");
  // mulGrad(dy, other, dx, accumulate)
  bind<mul_grad>(env, exports, "mulGrad");
  // batchNormTrain(x, weight, bias, runningMean, runningVar, momentum, eps, residual, activation): [y,
  // statistics]
  bind<batch_norm_train>(env, exports, "batchNormTrain");
  // batchNormEval(x, weight, bias, runningMean, runningVar, eps, residual, activation): handle
  bind<batch_norm_eval>(env, exports, "batchNormEval");
  // batchNormStatistics(weight, bias, runningMean, runningVar, eps): handle
  bind<batch_norm_statistics>(env, exports, "batchNormStatistics");
  // batchNormGrad(dy, x, y, statistics, training, activation, then dx, dresidual, dweight and dbias, each
  // with its accumulate)
  bind<batch_norm_grad>(env, exports, "batchNormGrad");
  // biasGrad(dy, dbias, accumulate); scaleGrad(dy, x, dscale, accumulate)
  bind<bias_grad>(env, exports, "biasGrad");
  bind<scale_grad>(env, exports, "scaleGrad");
  // maxPool2d(x, ...geometry): handle
  bind<max_pool2d>(env, exports, "maxPool2d");
  // maxPool2dGrad(x, y, dy, dx, accumulate, ...geometry)
  bind<[](const Tensor& x, const Tensor& y, const Tensor& dy, Tensor& dx, GradMode mode,
          const PoolGeometry& g) { max_pool2d_grad(x, y, dy, g, dx, mode); }>(env, exports, "maxPool2dGrad");
  // avgPool2d(x, countIncludePad, ...geometry): handle
  bind<[](const Tensor& x, bool count_include_pad, const PoolGeometry& g) {
    return avg_pool2d(x, g, count_include_pad);
  }>(env, exports, "avgPool2d");
  // avgPool2dGrad(dy, countIncludePad, dx, accumulate, ...geometry)
  bind<[](const Tensor& dy, bool count_include_pad, Tensor& dx, GradMode mode, const PoolGeometry& g) {
    avg_pool2d_grad(dy, g, count_include_pad, dx, mode);
  }>(env, exports, "avgPool2dGrad");
  // adaptiveAvgPool2d(x, height, width): handle
  bind<adaptive_avg_pool2d>(env, exports, "adaptiveAvgPool2d");
  // adaptiveAvgPool2dGrad(dy, dx, accumulate)
  bind<adaptive_avg_pool2d_grad>(env, exports, "adaptiveAvgPool2dGrad");
  // linear(x, weight, bias | null): handle
  bind<linear>(env, exports, "linear");
  // linearGradInput(dy, weight, dx, accumulate); linearGradWeight(x, dy, dweight, accumulate)
  bind<linear_grad_input>(env, exports, "linearGradInput");
  bind<linear_grad_weight>(env, exports, "linearGradWeight");
  // softmax(x, axis, log): handle; softmaxGrad(y, dy, axis, log, dx, accumulate)
  bind<softmax>(env, exports, "softmax");
  bind<softmax_grad>(env, exports, "softmaxGrad");
  // crossEntropy(logits, labels, labelSmoothing): handle of a scalar
  bind<cross_entropy>(env, exports, "crossEntropy");
  // crossEntropyGrad(dloss, logits, labels, labelSmoothing, dlogits, accumulate)
  bind<cross_entropy_grad>(env, exports, "crossEntropyGrad");
  // concat(handles, axis): handle; slice(x, axis, begin, size): handle; sliceGrad(dy, axis, begin, dx,
  // accumulate)
  bind<concat>(env, exports, "concat");
  bind<slice>(env, exports, "slice");
  bind<slice_grad>(env, exports, "sliceGrad");
  // cast(x, dtype): handle; clone(x): handle; fill(target, value); copy(target, source)
  bind<cast>(env, exports, "cast");
  bind<clone>(env, exports, "clone");
  bind<fill>(env, exports, "fill");
  bind<copy>(env, exports, "copy");
  // randomUniform(target, position, low, high); randomNormal(target, position, mean, std); position: int32
  // [4]
  bind<random_uniform>(env, exports, "randomUniform");
  bind<random_normal>(env, exports, "randomNormal");
  // dropout(x, p, position): handle
  bind<dropout>(env, exports, "dropout");
  // sgdStep(parameters, gradients, momenta, numbers, momentum, weightDecay, nesterov); numbers: float32 [3]
  bind<sgd_step>(env, exports, "sgdStep");
  // adamwStep(parameters, gradients, firstMoments, secondMoments, numbers, beta1, beta2, eps); numbers:
  // float32 [3]
  bind<adamw_step>(env, exports, "adamwStep");
  // clipGradNorm(gradients, maxNorm, factor): handle of the norm between the two, a scalar
  bind<clip_grad_norm>(env, exports, "clipGradNorm");
  // lerp(targets, sources, weight)
  bind<lerp>(env, exports, "lerp");
  return exports;
}

}  // namespace
}  // namespace groupconv

static Napi::Object initialise_addon(Napi::Env env, Napi::Object exports) {
  return groupconv::initialise(env, exports);
}
NODE_API_MODULE(groupconv, initialise_addon)
