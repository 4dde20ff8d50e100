// What tests ask of the emulated runtime, beside what CUDA has.
#pragma once
#include <cstddef>

namespace emulator {

// Whether streams keep what they are given until somebody waits for them, or memory is freed: then all of it
// runs. A GPU may be as late, and as far.
void set_deferred(bool deferred);

// Bytes of device memory, of which all devices together have so many to give.
void set_memory(size_t bytes);
size_t memory_in_use();
// Of page-locked memory, that are in use.
size_t host_blocks();
// That were made and not destroyed.
size_t events();

}  // namespace emulator
