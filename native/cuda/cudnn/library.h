// Finding and opening cuDNN 9 at run time; nothing links against it.
#pragma once
#include <string>
#include <vector>

#include "cuda/cudnn/abi.h"

namespace groupconv::cuda::cudnn {

struct Library {
  std::string path;     // the opened file
  std::string version;  // "9.28.1"
  std::string reason;   // why there is none, with all that was tried; empty where there is one
  void* handle = nullptr;
  Functions functions{};
  bool usable() const { return handle != nullptr; }
};

// Where cuDNN is looked for, in order; the first that opens is taken:
// 1. GROUPCONV_CUDNN: the file, or the folder that holds it; then nothing else is tried
// 2. the one that is loaded in this process
// 3. pip's wheels (nvidia/cudnn/lib) of the active Python: VIRTUAL_ENV, then python3 and python on PATH
// 4. .cuda-toolchain in a folder above this library: what `npm run cuda:toolchain` made
// 5. CONDA_PREFIX/lib
// 6. the loader's own search: LD_LIBRARY_PATH, ld.so.conf
// The emulated library takes the first alone: its memory is not a GPU's.
std::vector<std::string> candidates();

// What does not open, is older than 9, lacks a function or its cuBLAS is passed over, and told in `reason`.
Library open(const std::vector<std::string>& candidates);

// Opens a library that cuDNN needs ("libcublasLt", of a CUDA version), from beside it, from a neighbouring
// wheel, or where the loader looks: why it can't; empty where it is open.
std::string open_neighbour(const std::string& cudnn, const std::string& wheel, const std::string& name,
                           size_t cuda_major);

// open(candidates()), once; stays open.
const Library& library();

}  // namespace groupconv::cuda::cudnn
