// The emulated runtime: memory is the host's, poisoned when it is new; a stream runs its work when it gets
// it.
#include <cuda_runtime.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "cuda/emulator/refusal.h"

struct EmulatedStream {
  bool capturing = false;
  std::vector<std::function<void()>> captured;
};
struct EmulatedEvent {
  std::chrono::steady_clock::time_point recorded;
};
struct EmulatedGraph {
  std::vector<std::function<void()>> work;
};

namespace {

// A call that could not be done is also told by the next cudaGetLastError of its thread.
thread_local cudaError_t last_error = cudaSuccess;
thread_local std::string last_refusal;
cudaError_t keep(cudaError_t error) { return last_error = error; }

thread_local int current_device = 0;
std::atomic<uint64_t> opened_devices{0};
void open_device() { opened_devices |= uint64_t{1} << current_device; }

// As on a GPU, a failure stays: every later call tells it, on every thread.
std::mutex failure_mutex;
std::string failure;
cudaError_t status() {
  const std::lock_guard<std::mutex> lock(failure_mutex);
  return failure.empty() ? cudaSuccess : cudaErrorLaunchFailure;
}

cudaError_t allocate(void** block, size_t bytes) {
  open_device();
  *block = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (!*block) return keep(cudaErrorMemoryAllocation);
  std::memset(*block, 0xcd, bytes);
  return status();
}
cudaError_t release(void* block) {
  open_device();
  std::free(block);
  return status();
}

// What would make a capture invalid fails.
cudaError_t outside_of_capture(cudaStream_t stream, const char* what) {
  if (stream && stream->capturing) {
    const std::lock_guard<std::mutex> lock(failure_mutex);
    failure = std::string(what) + " during a capture";
  }
  return status();
}

}  // namespace

void emulator::submit(void* stream, std::function<void()> work) {
  auto* target = static_cast<EmulatedStream*>(stream);
  if (target && target->capturing) return target->captured.push_back(std::move(work));
  if (status() != cudaSuccess) return;
  try {
    work();
  } catch (const std::exception& error) {
    const std::lock_guard<std::mutex> lock(failure_mutex);
    failure = error.what();
  }
}

bool emulator::only_checked = false;

bool emulator::accepts_launch(Dim3 grid, Dim3 block, size_t shared_bytes) {
  last_refusal = refusal_of(grid, block, shared_bytes);
  if (!last_refusal.empty()) keep(cudaErrorInvalidConfiguration);
  return last_refusal.empty();
}

bool emulator::was_opened(int device) { return opened_devices >> device & 1; }
void emulator::forget_opened() { opened_devices = 0; }

void emulator::forget_failure() {
  const std::lock_guard<std::mutex> lock(failure_mutex);
  failure.clear();
}

const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess                     ? "no error"
         : error == cudaErrorMemoryAllocation     ? "out of memory"
         : error == cudaErrorInvalidConfiguration ? last_refusal.c_str()
                                                  : failure.c_str();
}
cudaError_t cudaGetLastError() {
  const cudaError_t last = std::exchange(last_error, cudaSuccess);
  return status() == cudaSuccess ? last : status();
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 0;
  return status();
}
cudaError_t cudaSetDevice(int device) {
  current_device = device;
  open_device();
  return status();
}
cudaError_t cudaGetDeviceCount(int* count) {
  const char* devices = std::getenv("GROUPCONV_EMULATED_DEVICES");
  *count = devices ? std::atoi(devices) : 1;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "emulated device");
  properties->major = 9;
  properties->multiProcessorCount = 2;
  properties->totalGlobalMem = size_t{4} << 30;
  return cudaSuccess;
}
cudaError_t cudaMalloc(void** block, size_t bytes) { return allocate(block, bytes); }
cudaError_t cudaFree(void* block) { return release(block); }
cudaError_t cudaMallocHost(void** block, size_t bytes) { return allocate(block, bytes); }
cudaError_t cudaFreeHost(void* block) { return release(block); }

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  emulator::submit(stream, [=] { std::memcpy(to, from, bytes); });
  return status();
}
cudaError_t cudaMemsetAsync(void* target, int value, size_t bytes, cudaStream_t stream) {
  emulator::submit(stream, [=] { std::memset(target, value, bytes); });
  return status();
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  if (std::getenv("GROUPCONV_EMULATED_FULL")) return keep(cudaErrorMemoryAllocation);
  *stream = new EmulatedStream;
  return status();
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return status();
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) { return outside_of_capture(stream, "a wait"); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new EmulatedEvent;
  return status();
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return status();
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  event->recorded = std::chrono::steady_clock::now();
  return outside_of_capture(stream, "an event");
}
cudaError_t cudaEventSynchronize(cudaEvent_t) {
  open_device();
  return status();
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  *milliseconds = std::chrono::duration<float, std::milli>(to->recorded - from->recorded).count();
  return status();
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  stream->capturing = true;
  return status();
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* capture) {
  *capture = stream->capturing ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return status();
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  stream->capturing = false;
  *graph = new EmulatedGraph{std::move(stream->captured)};
  stream->captured.clear();
  return status();
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = new EmulatedGraph(*graph);
  return status();
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  for (const auto& work : executable->work) emulator::submit(stream, work);
  return status();
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return status();
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return status();
}
