// Linear layers through cuDNN, as 1x1 convolutions of one pixel: x [rows, in] is N H W C with H = W = 1, and
// weight [out, in] is K R S C already.
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
  v.n = p.rows, v.c = p.in, v.k = p.out;
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

bool accepts(const LinearProblem& p) { return cudnn::accepts(convolution_of(p)); }

// A weight of another dtype than the activations is prepared: cast once, until it changes.
bool reads_cast_weight(const LinearProblem& p) {
  return p.pass != LinearPass::GradWeight && p.dtype != DType::Float32;
}

size_t cast_bytes(const LinearProblem& p) { return static_cast<size_t>(p.weight_size()) * size_of(p.dtype); }

void cast_weight(const LinearProblem& p, const float* weight, float* cast, const ExecutionContext& context) {
  cudnn::to_channels_last(convolution_of(p).filter(), weight, p.dtype, cast, context);
}

// Where no engine can do what cuDNN promised: the plain solver, on the weight in float32 again.
void run_tiles(const LinearProblem& p, LinearBuffers b, const ExecutionContext& context) {
  const LinearSolver& tiles = *linear_tiles.first;
  const size_t workspace = (tiles.workspace_bytes(p) + 255) / 256 * 256;
  const size_t weight = reads_cast_weight(p) ? static_cast<size_t>(p.weight_size()) * sizeof(float) : 0;
  const size_t bytes = workspace + weight;
  auto* const scratch = bytes ? static_cast<char*>(cuda_context(context).scratch(bytes)) : nullptr;
  b.workspace = scratch;
  if (weight) {
    auto* const restored = reinterpret_cast<float*>(scratch + workspace);
    cudnn::from_channels_last(convolution_of(p).filter(), p.dtype, b.weight, restored, false, context);
    b.weight = restored;
  }
  tiles.run(p, b, context);
}

void run(const LinearProblem& p, const LinearBuffers& b, const ExecutionContext& context) {
  const cudnn::Operands operands{b.x, b.weight, b.bias, nullptr, b.y, b.dy, b.dx, b.dweight};
  if (!cudnn::run(convolution_of(p), operands, context)) run_tiles(p, b, context);
}

constexpr LinearSolver solvers[] = {
    {"cudnn", [](const LinearProblem& p) { return reads_cast_weight(p) && accepts(p); }, run, nullptr,
     cast_bytes, cast_weight},
    {"cudnn", [](const LinearProblem& p) { return !reads_cast_weight(p) && accepts(p); }, run},
};

}  // namespace

extern const LinearTable linear_cudnn = {solvers, 2};

}  // namespace groupconv::cuda
