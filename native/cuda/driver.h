// NVIDIA's driver, asked before the runtime is: the runtime's errors don't say which version is missing
// where.
#pragma once
#include <string>

namespace groupconv::cuda {

struct Driver {
  std::string version;  // the newest CUDA that it knows: "13.0"
  std::string reason;   // why it can't be used; empty where it can
};

// Initialises the driver, but no device. `runtime` is the version that this library was built with: 13000 is
// 13.0.
Driver ask_driver(int runtime);

std::string version_text(int version);

}  // namespace groupconv::cuda
