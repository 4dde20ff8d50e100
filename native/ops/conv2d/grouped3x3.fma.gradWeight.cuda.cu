// gradWeight of grouped3x3.fma.cuda.cu's problems.
#include "ops/conv2d/grouped3x3.fma.launch.cuda.h"

namespace groupconv::cuda {
namespace {

using namespace grouped3x3;

constexpr Conv2dSolver solvers[] = {
    {"grouped3x3Float32",
     [](const Conv2dProblem& p) { return p.pass == Conv2dPass::GradWeight && accepts_fma(p); },
     run_fma_grad_weight<>}};

}  // namespace

extern const Conv2dTable conv2d_grouped3x3_float32_grad_weight = {solvers, 1};

}  // namespace groupconv::cuda
