// The addon's side of the CUDA library: finding it and opening it, once a process.
#pragma once
#include <memory>
#include <string>

#include "core/stream.h"
#include "cuda/backend.h"

namespace groupconv::cuda {

struct Library {
  std::string path;                  // empty where none was found
  std::string kind;                  // "CUDA" or "emulated"
  Discovery found;                   // `reason` also tells why the library can't be used
  const Backend* backend = nullptr;  // null where it can't
};

// Opened at the first call, from any thread: GROUPCONV_CUDA_LIBRARY, else libgroupconv_cuda.so beside the
// addon. Its solvers join the operators' lists.
const Library& library();

// Throws DEVICE_UNAVAILABLE with the reason, or OUT_OF_MEMORY.
std::shared_ptr<Stream> open_stream(int device);

}  // namespace groupconv::cuda
