// Grouped 3x3 convolution on tensor cores, N H W C: 4, 8, 16 or 32 channels per group, as many out as in,
// padding 1, stride 1 or 2. Forward and gradInput in bfloat16 and float16.
#include "ops/conv2d/grouped3x3.solvers.cuda.h"

namespace groupconv::cuda {

constexpr Conv2dSolver grouped3x3_solvers[] = {grouped3x3::activation_solver<BFloat16>("grouped3x3"),
                                               grouped3x3::activation_solver<Float16>("grouped3x3")};
extern const Conv2dTable conv2d_grouped3x3;
const Conv2dTable conv2d_grouped3x3 = {grouped3x3_solvers, 2};

}  // namespace groupconv::cuda
