// NVIDIA's driver (libcuda.so.1), as far as cuDNN asks for it while it plans: it takes compiled kernels
// without looking at them. There is no GPU: cuInit says so, and nothing can be launched.
namespace {

constexpr int kSuccess = 0, kNoDevice = 100;
int kernel;  // what every handle points at

template <class Result>
int give(Result* result, Result value) {
  *result = value;
  return kSuccess;
}
int give_handle(void** handle) { return give(handle, static_cast<void*>(&kernel)); }

}  // namespace

extern "C" {

int cuInit(unsigned) { return kNoDevice; }
int cuDriverGetVersion(int* version) { return give(version, 13000); }
int cuDeviceGetCount(int* count) { return give(count, 1); }
int cuDeviceGet(int* device, int ordinal) { return give(device, ordinal); }
int cuGetErrorName(int, const char** name) { return give(name, "CUDA_ERROR_NO_DEVICE"); }
int cuGetErrorString(int, const char** text) { return give(text, "no GPU: it is only described"); }

int cuLibraryLoadData(void** library) { return give_handle(library); }
int cuLibraryLoadFromFile(void** library) { return give_handle(library); }
int cuLibraryGetKernel(void** found) { return give_handle(found); }
int cuLibraryUnload(void*) { return kSuccess; }
int cuKernelGetFunction(void** function) { return give_handle(function); }
int cuKernelGetAttribute(int* value) { return give(value, 0); }
int cuKernelSetAttribute() { return kSuccess; }
int cuModuleLoadData(void** module) { return give_handle(module); }
int cuModuleGetFunction(void** function) { return give_handle(function); }
int cuModuleUnload(void*) { return kSuccess; }
int cuOccupancyMaxPotentialClusterSize(int* size) { return give(size, 8); }
int cuTensorMapEncodeIm2col() { return kSuccess; }
int cuTensorMapEncodeTiled() { return kSuccess; }

// Asked for by name, and of no use without a device.
#define GROUPCONV_NO_DEVICE(function) \
  int function() { return kNoDevice; }
GROUPCONV_NO_DEVICE(cuCtxGetCurrent)
GROUPCONV_NO_DEVICE(cuCtxGetLimit)
GROUPCONV_NO_DEVICE(cuCtxPopCurrent)
GROUPCONV_NO_DEVICE(cuCtxPushCurrent)
GROUPCONV_NO_DEVICE(cuLaunchCooperativeKernel)
GROUPCONV_NO_DEVICE(cuLaunchKernel)
GROUPCONV_NO_DEVICE(cuLaunchKernelEx)
GROUPCONV_NO_DEVICE(cuLinkAddData)
GROUPCONV_NO_DEVICE(cuLinkComplete)
GROUPCONV_NO_DEVICE(cuLinkCreate)
GROUPCONV_NO_DEVICE(cuLinkDestroy)
GROUPCONV_NO_DEVICE(cuStreamGetCtx)
}
