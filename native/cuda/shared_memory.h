// A kernel may be launched with 48 KB of dynamic shared memory; with more, where that has been allowed.
#pragma once
#include <cstddef>

namespace groupconv::cuda {

// Allows it for this kernel on this device, which is the current one. What is allowed belongs to all threads
// that launch the kernel there, so it only grows: else one lowers it between another's leave and launch.
void allow_shared_memory(const void* kernel, int device, size_t bytes);

}  // namespace groupconv::cuda
