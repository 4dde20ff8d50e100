#include "cuda/discover.h"

#include "cuda/driver.h"
#include "cuda/engine.h"

namespace groupconv::cuda {
namespace {

// GROUPCONV_OLDEST_CAPABILITY is the least that the kernels were compiled for, 80 is 8.0; the build says it.
#ifdef GROUPCONV_EMULATED
constexpr int kOldestCapability = 0;
#else
constexpr int kOldestCapability = GROUPCONV_OLDEST_CAPABILITY;
#endif

bool runs_kernels(const DeviceProperties& device) {
  return 10 * device.major + device.minor >= kOldestCapability;
}

// Why none of the devices can be used; empty where one can.
std::string find_devices(std::vector<DeviceProperties>& devices) {
  int count = 0;
  if (const cudaError_t status = cudaGetDeviceCount(&count); status != cudaSuccess)
    return std::string("no devices: ") + cudaGetErrorString(status);
  if (count == 0) return "no devices";
  for (int device = 0; device < count; ++device) devices.push_back(properties_of(device));
  for (const DeviceProperties& device : devices)
    if (runs_kernels(device)) return "";
  return devices[0].name + " has compute capability " + std::to_string(devices[0].major) + '.' +
         std::to_string(devices[0].minor) + ", the kernels of this build need " +
         std::to_string(kOldestCapability / 10) + '.' + std::to_string(kOldestCapability % 10);
}

Discovery look() {
  Discovery found;
  int runtime = 0;
  if (cudaRuntimeGetVersion(&runtime) == cudaSuccess) found.runtime = version_text(runtime);
  const Driver driver = ask_driver(runtime);
  found.driver = driver.version;
  found.reason = driver.reason.empty() ? find_devices(found.devices) : driver.reason;
  return found;
}

}  // namespace

const Discovery& discover() {
  static const Discovery found = look();
  return found;
}

}  // namespace groupconv::cuda
