// Activations on the GPU, for kernels that apply one at their store.
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

}  // namespace groupconv::cuda
