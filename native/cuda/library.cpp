#include "cuda/library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>

#include "core/dispatch.h"
#include "cuda/settings.h"
#include "cuda/stream.h"

namespace groupconv::cuda {
namespace {

std::string path_of_library() {
  if (const char* path = std::getenv("GROUPCONV_CUDA_LIBRARY")) return path;
  Dl_info addon;
  if (!dladdr(reinterpret_cast<void*>(&path_of_library), &addon)) return "";
  const auto beside = std::filesystem::path(addon.dli_fname).parent_path() / "libgroupconv_cuda.so";
  std::error_code none;
  return std::filesystem::exists(beside, none) ? beside.string() : "";
}

// Never closed: solvers and queued work point into it.
Library open() {
  Library opened;
  opened.path = path_of_library();
  if (opened.path.empty()) {
    opened.found.reason = "this build of groupconv has no CUDA library; npm run build:cuda makes it";
    return opened;
  }
  void* handle = dlopen(opened.path.c_str(), RTLD_NOW | RTLD_LOCAL);
  void* function = handle ? dlsym(handle, kBackendFunction) : nullptr;
  if (!function) {
    opened.found.reason = opened.path + " can't be opened: " + dlerror();
    return opened;
  }
  const Backend& backend = *reinterpret_cast<BackendFunction>(function)();
  if (backend.version != kBackendVersion) {
    opened.found.reason = opened.path + " was built for version " + std::to_string(backend.version) +
                          " of the addon's interface, this addon has " + std::to_string(kBackendVersion);
    return opened;
  }
  try {
    for (const SolverOffer& offer : backend.solvers())
      AnyRegistry::find(offer.op).adopt(DeviceKind::Cuda, offer.solvers.data(),
                                        static_cast<int>(offer.solvers.size()), offer.problem_bytes,
                                        offer.buffers_bytes);
    opened.kind = backend.kind;
    opened.found = backend.discover();
  } catch (const Error& error) {
    opened.found.reason = opened.path + ": " + error.message();
    return opened;
  }
  backend.attach(addon_settings());
  opened.backend = &backend;
  return opened;
}

}  // namespace

const Library& library() {
  static const Library opened = open();
  return opened;
}

std::shared_ptr<Stream> open_stream(int device) {
  const Library& opened = library();
  require(opened.backend && opened.found.reason.empty(), ErrorCode::DeviceUnavailable,
          "cuda: ", opened.found.reason);
  return std::make_shared<CudaStream>(device, opened.backend->open(device));
}

}  // namespace groupconv::cuda
