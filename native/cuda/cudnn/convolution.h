// Convolutions through cuDNN, all three passes, with what may surround them: of Conv2dProblem, and of
// LinearProblem as a 1x1 convolution on one pixel. Activations are N H W C.
#pragma once
#include "core/activation.h"
#include "core/dtype.h"
#include "cuda/cudnn/layouts.h"
#include "cuda/launch.h"

namespace groupconv::cuda::cudnn {

enum class Pass : int32_t { Forward, GradInput, GradWeight };

// Plain 32-bit fields without padding: its bytes are a cache key.
struct Convolution {
  Pass pass;
  DType dtype;         // of activations and of the filter that is multiplied
  int32_t n, c, h, w;  // x
  int32_t k, r, s;     // filter; c / groups input channels each
  int32_t p, q;        // y
  int32_t stride_h, stride_w, dilation_h, dilation_w;
  int32_t pad_top, pad_right, pad_bottom, pad_left;
  int32_t groups;
  int32_t has_bias, has_residual;
  Activation activation;        // forward only, like bias and residual
  int32_t accumulate;           // gradients: add to the target
  int32_t tf32, varying_order;  // liberties that engines may take; see core/stream.h

  Filter filter() const { return {k, c / groups, int64_t{r} * s}; }
  int64_t x_size() const { return int64_t{n} * c * h * w; }
  int64_t y_size() const { return int64_t{n} * k * p * q; }
};

// Null where the pass does not use them.
struct Operands {
  const void *x, *filter;  // the filter as `to_channels_last` leaves it
  const float* bias;       // [K]
  const void* residual;    // like y; may be y, at the price of a copy
  void* y;
  const void* dy;
  void* dx;
  float* dweight;  // K C/groups R S
};

// Whether cuDNN is there and some kind of device has not refused this problem. Cheap; any thread.
bool accepts(const Convolution& convolution);

// Queues it; false, with nothing queued, where this device's cuDNN has no engine for it. Other failures
// throw.
bool run(const Convolution& convolution, const Operands& operands, const ExecutionContext& context);

}  // namespace groupconv::cuda::cudnn
