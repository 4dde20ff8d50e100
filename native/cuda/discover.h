// What this machine has: driver, devices, cuDNN; or why nothing can be used.
#pragma once
#include "cuda/backend.h"

namespace groupconv::cuda {

// Looks once.
const Discovery& discover();

}  // namespace groupconv::cuda
