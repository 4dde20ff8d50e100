#include "cuda/deviceless/cudnn.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "cuda/cudnn/abi.h"

namespace {

using namespace groupconv::cuda::cudnn;

// Of cuDNN's interface, what only planning without a device uses.
constexpr auto kDeviceProperties = static_cast<DescriptorKind>(38);
constexpr auto kJson = static_cast<Attribute>(2702);
constexpr auto kHeuristicsDevice = static_cast<Attribute>(204), kEngineDevice = static_cast<Attribute>(1307),
               kPlanDevice = static_cast<Attribute>(407);

void* open_cudnn() {
  const char* file = std::getenv("GROUPCONV_DEVICELESS_CUDNN");
  void* const handle = dlopen(file ? file : "libcudnn.so.9", RTLD_NOW | RTLD_LOCAL);
  if (handle) return handle;
  std::fprintf(stderr, "%s\n", dlerror());
  std::exit(1);
}

void* find(const char* name) {
  static void* const cudnn = open_cudnn();
  return dlsym(cudnn, name);
}
template <class Function>
Function* real(const char* name) {
  return reinterpret_cast<Function*>(find(name));
}
#define GROUPCONV_REAL(function) real<decltype(function)>(#function)

RawDescriptor gpu = nullptr;

Status set(RawDescriptor descriptor, Attribute attribute, Type type, int64_t count, const void* elements) {
  using Function = Status(RawDescriptor, Attribute, Type, int64_t, const void*);
  return real<Function>("cudnnBackendSetAttribute")(descriptor, attribute, type, count, elements);
}
Status set_gpu(RawDescriptor descriptor, Attribute attribute) {
  return set(descriptor, attribute, Type::Descriptor, 1, &gpu);
}

}  // namespace

extern "C" {

size_t cudnnGetVersion() { return GROUPCONV_REAL(cudnnGetVersion)(); }
const char* cudnnGetErrorString(Status status) { return GROUPCONV_REAL(cudnnGetErrorString)(status); }

Status cudnnCreate(Handle* handle) {
  *handle = &gpu;
  return kSuccess;
}
Status cudnnDestroy(Handle) { return kSuccess; }
Status cudnnSetStream(Handle, void*) { return kSuccess; }
Status cudnnBackendExecute(Handle, RawDescriptor, RawDescriptor) { return kNotSupported; }

Status cudnnBackendCreateDescriptor(DescriptorKind kind, RawDescriptor* descriptor) {
  return GROUPCONV_REAL(cudnnBackendCreateDescriptor)(kind, descriptor);
}
Status cudnnBackendDestroyDescriptor(RawDescriptor descriptor) {
  return GROUPCONV_REAL(cudnnBackendDestroyDescriptor)(descriptor);
}
Status cudnnBackendFinalize(RawDescriptor descriptor) {
  return GROUPCONV_REAL(cudnnBackendFinalize)(descriptor);
}

// The described GPU goes where a handle would, and beside the graph where cuDNN would take its handle's.
Status cudnnBackendSetAttribute(RawDescriptor descriptor, Attribute attribute, Type type, int64_t count,
                                const void* elements) {
  Status status = kSuccess;
  switch (attribute) {
    case Attribute::GraphHandle:
      return kSuccess;
    case Attribute::PlanHandle:
      return set_gpu(descriptor, kPlanDevice);
    case Attribute::HeuristicsGraph:
      status = set_gpu(descriptor, kHeuristicsDevice);
      break;
    case Attribute::EngineGraph:
      status = set_gpu(descriptor, kEngineDevice);
      break;
    default:
      break;
  }
  return status == kSuccess ? set(descriptor, attribute, type, count, elements) : status;
}
Status cudnnBackendGetAttribute(RawDescriptor descriptor, Attribute attribute, Type type, int64_t most,
                                int64_t* count, void* elements) {
  return GROUPCONV_REAL(cudnnBackendGetAttribute)(descriptor, attribute, type, most, count, elements);
}

bool groupconv_describe_gpu(const char* json) {
  if (gpu) cudnnBackendDestroyDescriptor(gpu);
  return cudnnBackendCreateDescriptor(kDeviceProperties, &gpu) == kSuccess &&
         set(gpu, kJson, Type::Character, static_cast<int64_t>(std::strlen(json)), json) == kSuccess &&
         cudnnBackendFinalize(gpu) == kSuccess;
}
}
