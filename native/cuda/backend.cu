// The library's door.
#include "cuda/backend.h"

#include "cuda/cudnn/session.h"
#include "cuda/discover.h"
#include "cuda/engine.h"
#include "cuda/offer.h"
#include "cuda/settings.h"

namespace groupconv::cuda {

std::vector<SolverOffer>& offers() {
  static std::vector<SolverOffer> offers;
  return offers;
}

namespace {

std::unique_ptr<Engine> open(int device) {
  const Discovery& found = discover();
  require(found.reason.empty(), ErrorCode::DeviceUnavailable, "cuda: ", found.reason);
  require(device >= 0 && device < static_cast<int>(found.devices.size()), ErrorCode::DeviceUnavailable,
          "cuda:", device, ": there are ", found.devices.size(), " devices");
  const std::string& reason = found.devices[static_cast<size_t>(device)].reason;
  require(reason.empty(), ErrorCode::DeviceUnavailable, "cuda:", device, ": ", reason);
  try {
    return open_engine(device);
  } catch (const Error& error) {  // full, or another process has it for itself
    fail(ErrorCode::DeviceUnavailable, "cuda:", device, ": ", error.message());
  }
}

#ifdef GROUPCONV_EMULATED
constexpr const char* kKind = "emulated";
#else
constexpr const char* kKind = "CUDA";
#endif

const Backend backend{kBackendVersion,
                      kKind,
                      []() -> const std::vector<SolverOffer>& { return offers(); },
                      discover,
                      cudnn::why_without,
                      open,
                      attach_settings};

}  // namespace
}  // namespace groupconv::cuda

extern "C" __attribute__((visibility("default"))) const groupconv::cuda::Backend* groupconv_cuda_backend() {
  return &groupconv::cuda::backend;
}
