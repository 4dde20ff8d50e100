// Linear layers through cuDNN, as 1x1 convolutions of one pixel: x [rows, in] is N H W C with H = W = 1, and
// weight [out, in] is K R S C already.
#include <algorithm>
#include <limits>

#include "cuda/cudnn/convolution.h"
#include "cuda/launch.h"
#include "ops/linear/linear.h"

namespace groupconv::cuda {

extern const LinearTable linear_tiles;  // one solver, which takes everything

namespace {

cudnn::Convolution convolution_of(const LinearProblem& p) {
  cudnn::Convolution v{};
  v.pass = static_cast<cudnn::Pass>(p.pass);
  v.dtype = p.dtype;
  v.n = static_cast<int32_t>(p.rows), v.c = static_cast<int32_t>(p.in), v.k = static_cast<int32_t>(p.out);
  v.h = v.w = v.r = v.s = v.p = v.q = 1;
  v.stride_h = v.stride_w = v.dilation_h = v.dilation_w = v.groups = 1;
  v.has_bias = p.has_bias;
  v.accumulate = p.accumulate;
  v.tf32 = p.tf32, v.varying_order = p.varying_order;
  return v;
}
static_assert(static_cast<int>(cudnn::Pass::Forward) == static_cast<int>(LinearPass::Forward) &&
              static_cast<int>(cudnn::Pass::GradInput) == static_cast<int>(LinearPass::GradInput) &&
              static_cast<int>(cudnn::Pass::GradWeight) == static_cast<int>(LinearPass::GradWeight));

bool accepts(const LinearProblem& p) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  const bool fits = p.rows > 0 && p.in > 0 && p.out > 0 && p.rows <= kMost && p.in <= kMost && p.out <= kMost;
  return fits && cudnn::accepts(convolution_of(p));
}

bool needs_weight(const LinearProblem& p) { return p.pass != LinearPass::GradWeight; }

// Room for the weight in the dtype of the activations, and for what stands in for cuDNN.
size_t workspace_bytes(const LinearProblem& p) {
  const size_t weight =
      needs_weight(p) && p.dtype != DType::Float32 ? static_cast<size_t>(p.in * p.out) * size_of(p.dtype) : 0;
  return std::max(weight, linear_tiles.first->workspace_bytes(p));
}

void run(const LinearProblem& p, const LinearBuffers& b, const ExecutionContext& context) {
  const cudnn::Convolution convolution = convolution_of(p);
  const void* weight = b.weight;
  if (needs_weight(p) && p.dtype != DType::Float32) {
    cudnn::to_channels_last(convolution.filter(), b.weight, p.dtype, b.workspace, context);
    weight = b.workspace;
  }
  const cudnn::Operands operands{b.x, weight, b.bias, nullptr, b.y, b.dy, b.dx, b.dweight};
  if (cudnn::run(convolution, operands, context)) return;
  linear_tiles.first->run(p, b, context);
}

constexpr LinearSolver solvers[] = {{"cudnn", accepts, run, workspace_bytes}};

}  // namespace

extern const LinearTable linear_cudnn = {solvers, 1};

}  // namespace groupconv::cuda
