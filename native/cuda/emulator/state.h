// What the parts of the emulated runtime share.
#pragma once
#include <cuda_runtime.h>

namespace emulator {

// The device has failed, or not.
cudaError_t status();
// For the next cudaGetLastError of the thread.
cudaError_t keep(cudaError_t error);
// The current device is in use from now on.
void open_device();
// What streams have kept for later runs now.
void run_all_pending();
// A call that is not enqueued makes captures invalid, but for relaxed ones.
void disturb_captures();

}  // namespace emulator
