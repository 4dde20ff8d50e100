// Tables for conv2d's list on CUDA.
#pragma once
#include "ops/conv2d/conv2d.h"

namespace groupconv::cuda {

// bfloat16 and float16.
Conv2dTable conv2d_grouped3x3();
// float32 with operands rounded to TF32: for lists that are asked only where that is allowed.
Conv2dTable conv2d_grouped3x3_tf32();

}  // namespace groupconv::cuda
