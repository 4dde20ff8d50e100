// Convolutions through cuDNN: every geometry and group size for which it has an engine. The filter is
// prepared in cuDNN's order, K R S C/g, in the dtype of the activations.
#include "cuda/cudnn/convolution.h"
#include "cuda/launch.h"
#include "ops/conv2d/conv2d.h"

namespace groupconv::cuda {

extern const Conv2dTable conv2d_direct;

namespace {

cudnn::Convolution convolution_of(const Conv2dProblem& p) {
  return {static_cast<cudnn::Pass>(p.pass),
          p.dtype,
          p.n,
          p.c,
          p.h,
          p.w,
          p.k,
          p.r,
          p.s,
          p.p,
          p.q,
          p.stride_h,
          p.stride_w,
          p.dilation_h,
          p.dilation_w,
          p.pad_top,
          p.pad_right,
          p.pad_bottom,
          p.pad_left,
          p.groups,
          p.has_bias,
          p.has_residual,
          p.activation,
          p.accumulate,
          p.tf32,
          p.varying_order};
}
static_assert(static_cast<int>(cudnn::Pass::Forward) == static_cast<int>(Conv2dPass::Forward) &&
              static_cast<int>(cudnn::Pass::GradInput) == static_cast<int>(Conv2dPass::GradInput) &&
              static_cast<int>(cudnn::Pass::GradWeight) == static_cast<int>(Conv2dPass::GradWeight));

// An empty extent is for the reference.
bool is_empty(const Conv2dProblem& p) { return p.macs() == 0 || p.h == 0 || p.w == 0; }

bool accepts(const Conv2dProblem& p) { return !is_empty(p) && cudnn::accepts(convolution_of(p)); }

size_t filter_bytes(const Conv2dProblem& p) {
  return static_cast<size_t>(convolution_of(p).filter().size()) * size_of(p.dtype);
}

void prepare(const Conv2dProblem& p, const float* weight, float* prepared, const ExecutionContext& context) {
  cudnn::to_channels_last(convolution_of(p).filter(), weight, p.dtype, prepared, context);
}

// Where no engine can do what cuDNN promised: the plain solver, on the filter in its original order.
void run_direct(const Conv2dProblem& p, Conv2dBuffers b, const ExecutionContext& context) {
  const cudnn::Filter filter = convolution_of(p).filter();
  for (int i = 0; i < conv2d_direct.count; ++i) {
    const Conv2dSolver& direct = conv2d_direct.first[i];
    if (!direct.accepts(p)) continue;
    const size_t workspace = direct.workspace_bytes ? (direct.workspace_bytes(p) + 255) / 256 * 256 : 0;
    const size_t weight = b.weight ? static_cast<size_t>(filter.size()) * sizeof(float) : 0;
    auto* const scratch = static_cast<char*>(cuda_context(context).scratch(workspace + weight));
    b.workspace = scratch;
    if (b.weight) {
      auto* const original = reinterpret_cast<float*>(scratch + workspace);
      cudnn::from_channels_last(filter, p.dtype, b.weight, original, false, context);
      b.weight = original;
    }
    return direct.run(p, b, context);
  }
}

void run(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  const cudnn::Operands operands{b.x, b.weight, b.bias, b.residual, b.y, b.dy, b.dx, b.dweight};
  if (!cudnn::run(convolution_of(p), operands, context)) run_direct(p, b, context);
}

constexpr Conv2dSolver solvers[] = {
    {"cudnn", [](const Conv2dProblem& p) { return p.pass != Conv2dPass::GradWeight && accepts(p); }, run,
     nullptr, filter_bytes, prepare, false},
    {"cudnn", [](const Conv2dProblem& p) { return p.pass == Conv2dPass::GradWeight && accepts(p); }, run},
};

}  // namespace

extern const Conv2dTable conv2d_cudnn = {solvers, 2};

}  // namespace groupconv::cuda
