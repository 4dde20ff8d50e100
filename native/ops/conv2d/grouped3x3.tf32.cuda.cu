// grouped3x3.cuda.cu's problems in float32, all passes, with factors rounded to TF32 where the problem allows
// it.
#include "ops/conv2d/grouped3x3.solvers.cuda.h"

namespace groupconv::cuda {

constexpr Conv2dSolver grouped3x3_tf32_solvers[] = {grouped3x3::activation_solver<float>("grouped3x3Tf32"),
                                                    grouped3x3::weight_solver<float>("grouped3x3Tf32")};
extern const Conv2dTable conv2d_grouped3x3_tf32;
const Conv2dTable conv2d_grouped3x3_tf32 = {grouped3x3_tf32_solvers, 2};

}  // namespace groupconv::cuda
