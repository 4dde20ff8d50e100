// grouped3x3.cuda.cu's problems in float32, rounded nowhere but in sums: forward and gradInput. On CUDA
// cores, so that 4 and 8 channels per group are still limited by memory and 32 by multiply-adds.
#include "ops/conv2d/grouped3x3.fma.launch.cuda.h"

namespace groupconv::cuda {
namespace {

using namespace grouped3x3;

constexpr Conv2dSolver solvers[] = {
    {"grouped3x3Float32",
     [](const Conv2dProblem& p) { return p.pass != Conv2dPass::GradWeight && accepts_fma(p); }, run_fma<>,
     nullptr, fma_prepared_bytes<>, run_fma_prepare<>}};

}  // namespace

extern const Conv2dTable conv2d_grouped3x3_float32 = {solvers, 1};

}  // namespace groupconv::cuda
