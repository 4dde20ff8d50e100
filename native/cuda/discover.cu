#include "cuda/discover.h"

#include "cuda/engine.h"

namespace groupconv::cuda {
namespace {

std::string version_text(int version) {  // 13000 is 13.0
  return std::to_string(version / 1000) + '.' + std::to_string(version % 1000 / 10);
}

Discovery look() {
  Discovery found;
  int version = 0, count = 0;
  if (cudaRuntimeGetVersion(&version) == cudaSuccess) found.runtime = version_text(version);
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess)
    found.reason = cudaGetErrorString(status);
  else if (count == 0)
    found.reason = "no device";
  for (int device = 0; found.reason.empty() && device < count; ++device)
    found.devices.push_back(properties_of(device));
  return found;
}

}  // namespace

const Discovery& discover() {
  static const Discovery found = look();
  return found;
}

}  // namespace groupconv::cuda
