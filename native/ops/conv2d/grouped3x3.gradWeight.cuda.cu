// gradWeight of grouped3x3.cuda.cu's problems, in bfloat16 and float16.
#include "ops/conv2d/grouped3x3.solvers.cuda.h"

namespace groupconv::cuda {

constexpr Conv2dSolver grouped3x3_grad_weight_solvers[] = {grouped3x3::weight_solver<BFloat16>("grouped3x3"),
                                                           grouped3x3::weight_solver<Float16>("grouped3x3")};
extern const Conv2dTable conv2d_grouped3x3_grad_weight;
const Conv2dTable conv2d_grouped3x3_grad_weight = {grouped3x3_grad_weight_solvers, 2};

}  // namespace groupconv::cuda
