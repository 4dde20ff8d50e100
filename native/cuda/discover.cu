#include "cuda/discover.h"

#include <cstdlib>

#include "cuda/cudnn/library.h"
#include "cuda/driver.h"
#include "cuda/engine.h"
#include "cuda/gpu_code.h"

namespace groupconv::cuda {
namespace {

// What kernels were compiled to. The emulator does without cuDNN, unless one is named.
#ifdef GROUPCONV_EMULATED
constexpr const char* kGpuCode = "sm_80 sm_86 sm_89 sm_90 sm_100 sm_120 compute_120";
bool needs_cudnn() { return std::getenv("GROUPCONV_CUDNN") != nullptr; }
#else
constexpr const char* kGpuCode = GROUPCONV_GPU_CODE;
bool needs_cudnn() { return true; }
#endif

std::string capability_text(int capability) {
  return std::to_string(capability / 10) + '.' + std::to_string(capability % 10);
}

// Why this device can't run the library's kernels; empty where it can.
std::string unfit(const DeviceProperties& device) {
  const int capability = 10 * device.major + device.minor;
  if (runs_on(kGpuCode, capability)) return "";
  return device.name + " has compute capability " + capability_text(capability) +
         ", the kernels of this build are for " + kGpuCode + "; see GROUPCONV_CUDA_ARCHITECTURES";
}

// Why none of the devices can be used; empty where one can.
std::string find_devices(std::vector<DeviceProperties>& devices) {
  int count = 0;
  if (const cudaError_t status = cudaGetDeviceCount(&count); status != cudaSuccess)
    return std::string("no device: ") + cudaGetErrorString(status);
  if (count == 0) return "no device";
  bool one_is_fit = false;
  for (int device = 0; device < count; ++device) {
    devices.push_back(properties_of(device));
    devices.back().reason = unfit(devices.back());
    one_is_fit = one_is_fit || devices.back().reason.empty();
  }
  return one_is_fit ? "" : devices[0].reason;
}

Discovery look() {
  Discovery found;
  int runtime = 0;
  if (cudaRuntimeGetVersion(&runtime) == cudaSuccess) found.runtime = version_text(runtime);
  const Driver driver = ask_driver(runtime);
  found.driver = driver.version;
  found.reason = driver.reason.empty() ? find_devices(found.devices) : driver.reason;
  const cudnn::Library& cudnn = cudnn::library();
  found.cudnn = cudnn.version;
  found.cudnn_path = cudnn.path;
  // Both reasons, where there are two: whoever mends the first should know of the second.
  if (!cudnn.usable() && needs_cudnn()) found.reason += (found.reason.empty() ? "" : "; ") + cudnn.reason;
  return found;
}

}  // namespace

const Discovery& discover() {
  static const Discovery found = look();
  return found;
}

}  // namespace groupconv::cuda
