// The stand-in for cuDNN that the library has opened, for *.cuda.test.cu.
#pragma once
#include <dlfcn.h>

#include "cuda/cudnn/library.h"
#include "cuda/emulator/cudnn/standin.h"

namespace groupconv::test {

inline CudnnStandin& standin() {
  void* const found = dlsym(cuda::cudnn::library().handle, kCudnnStandin);
  return *reinterpret_cast<decltype(&groupconv_cudnn_standin)>(found)();
}

}  // namespace groupconv::test
