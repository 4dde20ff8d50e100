#include "cuda/cudnn/library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <sstream>

#ifdef GROUPCONV_EMULATED
#include <cuda_runtime.h>

#include "cuda/emulator/cudnn/standin.h"
#include "cuda/emulator/emulator.h"
#endif

namespace groupconv::cuda::cudnn {
namespace {

namespace fs = std::filesystem;
constexpr const char* kFile = "libcudnn.so.9";
#ifdef GROUPCONV_EMULATED
constexpr bool kEmulated = true;
#else
constexpr bool kEmulated = false;
#endif

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

bool is_there(const fs::path& path) {
  std::error_code none;
  return fs::exists(path, none);
}

// cuDNN of pip's wheels in a Python's prefix; Debian's Python calls its folder dist-packages.
void add_wheels(std::vector<std::string>& found, const fs::path& prefix) {
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(prefix / "lib", none)) {
    if (entry.path().filename().string().rfind("python3", 0) != 0) continue;
    for (const char* packages : {"site-packages", "dist-packages"}) {
      const fs::path file = entry.path() / packages / "nvidia/cudnn/lib" / kFile;
      if (is_there(file)) found.push_back(file.string());
    }
  }
}

// A virtual environment's python is a link to another prefix's: both are asked.
void add_pythons_on_path(std::vector<std::string>& found) {
  for (const char* name : {"python3", "python"}) {
    std::istringstream folders(variable("PATH"));
    for (std::string folder; std::getline(folders, folder, ':');) {
      const fs::path python = fs::path(folder) / name;
      if (folder.empty() || !is_there(python)) continue;
      std::error_code none;
      const fs::path target = fs::canonical(python, none);
      add_wheels(found, fs::path(folder).parent_path());
      if (!none) add_wheels(found, target.parent_path().parent_path());
      break;
    }
  }
}

void add_toolchain(std::vector<std::string>& found) {
  Dl_info here;
  if (!dladdr(reinterpret_cast<void*>(&add_toolchain), &here) || !here.dli_fname) return;
  std::error_code none;
  for (fs::path folder = fs::absolute(here.dli_fname, none).parent_path(); folder.has_relative_path();
       folder = folder.parent_path())
    add_wheels(found, folder / ".cuda-toolchain");
}

template <class Function>
bool load(void* handle, const char* name, Function& function, const char*& missing) {
  function = reinterpret_cast<Function>(dlsym(handle, name));
  if (!function) missing = name;
  return function != nullptr;
}

// The name of the first function that is missing.
const char* load(void* handle, Functions& f) {
  const char* missing = nullptr;
  load(handle, "cudnnGetVersion", f.get_version, missing) &&
      load(handle, "cudnnGetErrorString", f.get_error_string, missing) &&
      load(handle, "cudnnCreate", f.create, missing) && load(handle, "cudnnDestroy", f.destroy, missing) &&
      load(handle, "cudnnSetStream", f.set_stream, missing) &&
      load(handle, "cudnnBackendCreateDescriptor", f.create_descriptor, missing) &&
      load(handle, "cudnnBackendDestroyDescriptor", f.destroy_descriptor, missing) &&
      load(handle, "cudnnBackendFinalize", f.finalize, missing) &&
      load(handle, "cudnnBackendSetAttribute", f.set_attribute, missing) &&
      load(handle, "cudnnBackendGetAttribute", f.get_attribute, missing) &&
      load(handle, "cudnnBackendExecute", f.execute, missing);
  return missing;
}

std::string file_of(void* function, const std::string& otherwise) {
  Dl_info info;
  return dladdr(function, &info) && info.dli_fname ? info.dli_fname : otherwise;
}

// Version 9 counts major * 10000, older ones major * 1000.
std::string version_text(size_t version) {
  const size_t major = version >= 90000 ? version / 10000 : version / 1000;
  const size_t minor = version >= 90000 ? version / 100 % 100 : version / 100 % 10;
  return std::to_string(major) + '.' + std::to_string(minor) + '.' + std::to_string(version % 100);
}

// What cuDNN itself looks for, not everywhere where wheels put it: cuBLAS, without which it ends the process
// as soon as it is asked for engines (seen with 9.28), and NVRTC, without which it has none that it would
// compile. Why that cuDNN can't be used.
std::string open_neighbours(const std::string& cudnn, size_t cuda_major) {
  open_neighbour(cudnn, "cuda_nvrtc", "libnvrtc", cuda_major);
  const std::string why = open_neighbour(cudnn, "cublas", "libcublasLt", cuda_major);
  if (why.empty()) return "";
  return cudnn + ": needs cuBLAS, which npm run cuda:toolchain -- --run installs: " + why;
}

// Why a candidate can't be used; empty where `opened` now holds it.
std::string try_to_open(const std::string& candidate, Library& opened) {
  void* handle = dlopen(candidate.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) return dlerror();
  std::string reason;
  if (const char* missing = load(handle, opened.functions)) {
    reason = candidate + ": lacks " + missing;
  } else {
    const size_t version = opened.functions.get_version();
    opened.version = version_text(version);
    if (version < 90000)
      reason = candidate + ": version " + opened.version + ", 9 is the oldest that will do";
  }
  using CudaVersion = size_t (*)();
  if (const auto cuda = reinterpret_cast<CudaVersion>(dlsym(handle, "cudnnGetCudartVersion"));
      cuda && reason.empty())
    reason = open_neighbours(file_of(reinterpret_cast<void*>(cuda), candidate), cuda() / 1000);
  if (!reason.empty()) {
    dlclose(handle);
    return reason;
  }
#ifdef GROUPCONV_EMULATED
  if (void* standin = dlsym(handle, kCudnnStandin)) {
    CudnnStandin& state = *reinterpret_cast<decltype(&groupconv_cudnn_standin)>(standin)();
    state.submit = emulator::submit;
    state.wait_for_device = [] { cudaDeviceSynchronize(); };
  }
#endif
  opened.handle = handle;
  opened.path = file_of(reinterpret_cast<void*>(opened.functions.get_version), candidate);
  return "";
}

}  // namespace

std::vector<std::string> candidates() {
  const std::string named = variable("GROUPCONV_CUDNN");
  std::error_code none;
  if (!named.empty()) return {fs::is_directory(named, none) ? (fs::path(named) / kFile).string() : named};
  std::vector<std::string> found;
  if (kEmulated) return found;
  if (void* loaded = dlopen(kFile, RTLD_NOW | RTLD_NOLOAD)) {
    found.push_back(kFile);
    dlclose(loaded);
  }
  const std::string environment = variable("VIRTUAL_ENV"), conda = variable("CONDA_PREFIX");
  if (!environment.empty()) add_wheels(found, environment);
  add_pythons_on_path(found);
  add_toolchain(found);
  if (!conda.empty() && is_there(fs::path(conda) / "lib" / kFile))
    found.push_back((fs::path(conda) / "lib" / kFile).string());
  found.push_back(kFile);
  return found;
}

// Where cuDNN's own search (its RUNPATH) looks: beside it, in the neighbouring wheels, where the loader does.
std::string open_neighbour(const std::string& cudnn, const std::string& wheel, const std::string& name,
                           size_t cuda_major) {
  const std::string major = std::to_string(cuda_major), file = name + ".so." + major;
  const fs::path here = fs::path(cudnn).parent_path(), wheels = here.parent_path().parent_path();
  for (const fs::path& folder : {here, wheels / wheel / "lib", wheels / ("cu" + major) / "lib"})
    if (is_there(folder / file) && dlopen((folder / file).c_str(), RTLD_LAZY | RTLD_LOCAL)) return "";
  return dlopen(file.c_str(), RTLD_LAZY | RTLD_LOCAL) ? "" : dlerror();
}

Library open(const std::vector<std::string>& candidates) {
  Library opened;
  std::string tried;
  for (const std::string& candidate : candidates) {
    const std::string why = try_to_open(candidate, opened);
    if (why.empty()) return opened;
    tried += (tried.empty() ? "" : "; ") + why;
  }
  Library none;
  none.reason = "no cuDNN 9: " + (tried.empty() ? "none was looked for" : tried);
  return none;
}

const Library& library() {
  static const Library opened = open(candidates());
  return opened;
}

}  // namespace groupconv::cuda::cudnn
