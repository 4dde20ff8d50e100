// The solvers of depthwise forward and gradInput.
#include "ops/conv2d/depthwise.correlate.cuda.h"

namespace groupconv::cuda {
namespace {

using namespace depthwise;

constexpr Conv2dSolver solvers[] = {
    {"depthwise", [](const Conv2dProblem& p) { return p.pass == Conv2dPass::Forward && is_depthwise(p); },
     [](const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
       queue_forward(p, b, context);
     }},
    {"depthwise", [](const Conv2dProblem& p) { return p.pass == Conv2dPass::GradInput && is_depthwise(p); },
     [](const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
       queue_grad_input(p, b, context);
     }},
};

}  // namespace

extern const Conv2dTable conv2d_depthwise = {solvers, 2};

}  // namespace groupconv::cuda
