#include "cuda/library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>

#include "core/dispatch.h"
#include "cuda/settings.h"
#include "cuda/stream.h"

namespace groupconv::cuda {
namespace {

namespace fs = std::filesystem;

// Empty where there is none.
std::string path_of_library() {
  const char* named = std::getenv("GROUPCONV_CUDA_LIBRARY");
  std::error_code none;
  if (named && *named) return fs::absolute(named, none).string();
  Dl_info addon;
  if (!dladdr(reinterpret_cast<void*>(&path_of_library), &addon)) return "";
  const fs::path beside = fs::path(addon.dli_fname).parent_path() / "libgroupconv_cuda.so";
  return fs::exists(beside, none) ? beside.string() : "";
}

// Throws DEVICE_UNAVAILABLE. The library is never closed: solvers and queued work point into it.
const Backend& load(const std::string& path) {
  require(!path.empty(), ErrorCode::DeviceUnavailable,
          "this build of groupconv has no CUDA library; npm run build:cuda makes it");
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  require(handle, ErrorCode::DeviceUnavailable,
          "the CUDA library can't be opened: ", handle ? "" : dlerror());
  const auto function = reinterpret_cast<BackendFunction>(dlsym(handle, kBackendFunction));
  require(function, ErrorCode::DeviceUnavailable, path, " is not groupconv's CUDA library: it has no ",
          kBackendFunction);
  const Backend* backend = function();
  const int version = backend ? backend->version : 0;
  require(version == kBackendVersion, ErrorCode::DeviceUnavailable, path, " was built for version ", version,
          " of the addon's interface, this addon has ", kBackendVersion, "; npm run build:cuda makes both");
  return *backend;
}

void adopt_solvers(const Backend& backend) {
  for (const SolverOffer& offer : backend.solvers())
    AnyRegistry::find(offer.op).adopt(DeviceKind::Cuda, offer.solvers.data(),
                                      static_cast<int>(offer.solvers.size()), offer.problem_bytes,
                                      offer.buffers_bytes);
}

Library open() {
  Library opened;
  opened.path = path_of_library();
  try {
    const Backend& backend = load(opened.path);
    adopt_solvers(backend);
    opened.kind = backend.kind;
    opened.found = backend.discover();
    backend.attach(addon_settings());
    opened.backend = &backend;
  } catch (const std::exception& error) {
    opened.found.reason = error.what();
  }
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
