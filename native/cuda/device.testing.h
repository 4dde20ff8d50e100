// What every native test of the CUDA library begins with: is there a device?
#pragma once
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

#include "core/check.h"
#include "cuda/discover.h"

namespace groupconv::test {

constexpr int kSkipped = 77;  // the exit status that CTest is told of

// What main returns. Runs the tests, on the emulator with a stand-in for cuDNN; or says why there is no
// device to run them on, cuDNN included, which is a failure where GROUPCONV_CUDA_TESTS=required.
template <class Tests>
int on_a_device(const Tests& tests) {
#ifdef GROUPCONV_CUDNN_STANDIN
  setenv("GROUPCONV_CUDNN", GROUPCONV_CUDNN_STANDIN, 0);
#endif
  const cuda::Discovery& found = cuda::discover();
  if (found.devices.empty() || !found.devices[0].reason.empty()) {
    const char* const wanted = std::getenv("GROUPCONV_CUDA_TESTS");
    const bool required = wanted && std::string(wanted) == "required";
    std::printf("%s: %s\n", required ? "no device" : "skipped",
                (found.devices.empty() ? found.reason : found.devices[0].reason).c_str());
    return required ? 1 : kSkipped;
  }
  try {
    tests();
  } catch (const std::exception& error) {
    CHECK_NOTE(false, error.what());
  }
  return report();
}

}  // namespace groupconv::test
