#include "cuda/driver.h"

#include <dlfcn.h>

namespace groupconv::cuda {

std::string version_text(int version) {
  return std::to_string(version / 1000) + '.' + std::to_string(version % 1000 / 10);
}

#ifdef GROUPCONV_EMULATED
Driver ask_driver(int) { return {}; }
#else

namespace {

constexpr const char* kFile = "libcuda.so.1";

// The driver's functions are C's and their error codes are ints; 0 is success.
struct DriverCalls {
  explicit DriverCalls(void* library)
      : get_version(reinterpret_cast<int (*)(int*)>(dlsym(library, "cuDriverGetVersion"))),
        initialise(reinterpret_cast<int (*)(unsigned)>(dlsym(library, "cuInit"))),
        count_devices(reinterpret_cast<int (*)(int*)>(dlsym(library, "cuDeviceGetCount"))),
        error_name(reinterpret_cast<int (*)(int, const char**)>(dlsym(library, "cuGetErrorName"))),
        error_text(reinterpret_cast<int (*)(int, const char**)>(dlsym(library, "cuGetErrorString"))) {}
  bool complete() const { return get_version && initialise && count_devices && error_name && error_text; }
  std::string words(int error) const {
    const char *name = nullptr, *text = nullptr;
    error_name(error, &name);
    error_text(error, &text);
    return std::string(name ? name : "error " + std::to_string(error)) + (text ? ": " : "") +
           (text ? text : "");
  }

  int (*const get_version)(int*);
  int (*const initialise)(unsigned);
  int (*const count_devices)(int*);
  int (*const error_name)(int, const char**);
  int (*const error_text)(int, const char**);
};

}  // namespace

Driver ask_driver(int runtime) {
  // Never closed: the runtime opens the same one.
  void* library = dlopen(kFile, RTLD_NOW | RTLD_LOCAL);
  if (!library) return {"", std::string("no NVIDIA driver: ") + dlerror()};
  const DriverCalls driver(library);
  if (!driver.complete()) return {"", std::string("no NVIDIA driver: ") + kFile + " lacks its functions"};
  Driver found;
  int version = 0, devices = 0;
  if (const int error = driver.get_version(&version); error == 0) found.version = version_text(version);
  // Within one major version, older drivers serve newer runtimes.
  if (version / 1000 < runtime / 1000) {
    found.reason = "the NVIDIA driver is too old: it knows CUDA up to " + version_text(version) +
                   ", this library was built with CUDA " + version_text(runtime) + " and needs " +
                   std::to_string(runtime / 1000) + ".0";
  } else if (const int error = driver.initialise(0)) {
    found.reason = "the NVIDIA driver does not start: " + driver.words(error);
  } else if (const int error = driver.count_devices(&devices)) {
    found.reason = "the NVIDIA driver does not count its devices: " + driver.words(error);
  } else if (devices == 0) {
    found.reason = "the NVIDIA driver has no device";
  }
  return found;
}
#endif

}  // namespace groupconv::cuda
