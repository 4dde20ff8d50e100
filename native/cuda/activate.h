// Activations on the GPU, for kernels that apply one at their store, and where their gradients stop.
#pragma once
#include <cuda_runtime.h>

#include "core/activation.h"

namespace groupconv::cuda {

// NaN stays NaN.
__device__ __forceinline__ float activate(Activation kind, float x) {
  if (kind == Activation::None) return x;
  const float low = x < 0 ? 0 : x;
  return kind == Activation::Relu6 && low > 6 ? 6 : low;
}

// Whether the gradient stops at an output of y; `kind` is one that clamps.
__device__ __forceinline__ bool stops_gradient(Activation kind, float y) {
  return y <= 0 || (kind == Activation::Relu6 && y >= 6);
}

}  // namespace groupconv::cuda
