// What surrounds a convolution by cuDNN: filters between groupconv's order, K C/g R S in float32, and
// cuDNN's, K R S C/g in the dtype of the activations; and the epilogue, where no engine fuses it.
#pragma once
#include "core/activation.h"
#include "core/dtype.h"
#include "cuda/launch.h"

namespace groupconv::cuda::cudnn {

struct Filter {
  int64_t outputs, channels, taps;  // K, C / groups, R S
  constexpr int64_t size() const { return outputs * channels * taps; }
};

// to[k][rs][c] = from[k][c][rs]
void to_channels_last(const Filter& filter, const float* from, DType dtype, void* to,
                      const ExecutionContext& context);
// to[k][c][rs] = from[k][rs][c], or += where `accumulate`.
void from_channels_last(const Filter& filter, DType dtype, const void* from, float* to, bool accumulate,
                        const ExecutionContext& context);

// y[i] = activation(x[i] + bias[i % channels] + residual[i]); bias and residual may be null, x and residual
// may be y.
struct Epilogue {
  DType dtype;
  Activation activation;
  int64_t size, channels;
  const void* x;
  const float* bias;
  const void* residual;
  void* y;
};
void run(const Epilogue& epilogue, const ExecutionContext& context);

}  // namespace groupconv::cuda::cudnn
