// The solver of depthwise gradWeight.
#include "ops/conv2d/depthwise.gradWeight.cuda.h"

namespace groupconv::cuda {
namespace {

using namespace depthwise;

constexpr Conv2dSolver solvers[] = {
    {"depthwise", [](const Conv2dProblem& p) { return p.pass == Conv2dPass::GradWeight && is_depthwise(p); },
     [](const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
       queue_grad_weight(p, b, static_cast<float*>(b.workspace), context);
     },
     grad_weight_bytes},
};

}  // namespace

extern const Conv2dTable conv2d_depthwise_grad_weight = {solvers, 1};

}  // namespace groupconv::cuda
