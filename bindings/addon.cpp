// The addon's table of contents: one line per operator function. lib/native.ts repeats it as types.
#include "bind.h"
#include "device_api.h"
#include "ops/activation/activation.h"

namespace groupconv {
namespace {

TensorPtr conv2d_fused(const Tensor& x, const Tensor& weight, const Tensor* bias, const Tensor* norm_weight,
                       const Tensor* norm_bias, const Tensor* norm_mean, const Tensor* norm_variance, float eps,
                       const Tensor* residual, Activation activation, const Conv2dGeometry& geometry) {
  const FoldedNorm norm{norm_weight, norm_bias, norm_mean, norm_variance, eps};
  return conv2d(x, weight, bias, norm_mean ? &norm : nullptr, residual, activation, geometry);
}

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new Environment(env));  // deleted with the environment
  bind_device_api(env, exports);
  // conv2d(x, weight, bias | null, geometry): handle
  bind<[](const Tensor& x, const Tensor& w, const Tensor* bias, const Conv2dGeometry& g) {
    return conv2d(x, w, bias, nullptr, nullptr, Activation::None, g);
  }>(env, exports, "conv2d");
  // conv2dFused(x, weight, bias, normWeight, normBias, mean, variance, eps, residual, activation, geometry): handle
  bind<conv2d_fused>(env, exports, "conv2dFused");
  // conv2dGradInput(dy, weight, geometry, dx, accumulate)
  bind<conv2d_grad_input>(env, exports, "conv2dGradInput");
  // conv2dGradWeight(x, dy, geometry, dweight, accumulate)
  bind<conv2d_grad_weight>(env, exports, "conv2dGradWeight");
  // activation(x, kind): handle
  bind<activation>(env, exports, "activation");
  // activationGrad(y, dy, kind, dx, accumulate)
  bind<activation_grad>(env, exports, "activationGrad");
  return exports;
}

}  // namespace
}  // namespace groupconv

static Napi::Object initialise_addon(Napi::Env env, Napi::Object exports) {
  return groupconv::initialise(env, exports);
}
NODE_API_MODULE(groupconv, initialise_addon)
