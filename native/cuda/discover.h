// What this machine has: driver, devices, cuDNN; or why nothing can be used.
#pragma once
#include "cuda/backend.h"

namespace groupconv::cuda {

// Looks once.
const Discovery& discover();

// Why this device can't run the library's kernels; empty where it can.
std::string unfit(const DeviceProperties& device);

}  // namespace groupconv::cuda
