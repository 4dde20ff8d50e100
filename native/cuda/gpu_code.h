// Which GPUs run what nvcc made of the kernels.
#pragma once
#include <string>

namespace groupconv::cuda {

// `names` as nvcc spells them, "sm_80 sm_90a compute_120"; the capability is 10 * major + minor.
//
// - sm_86, machine code: GPUs of the same major version and no lesser minor one
// - compute_86, intermediate code, which the driver compiles: no lesser capability
// - sm_90a, compute_90a, with one architecture's own features: that one alone
// - sm_100f, compute_100f, with a family's: the same major version and no lesser minor one
bool runs_on(const std::string& names, int capability);

}  // namespace groupconv::cuda
