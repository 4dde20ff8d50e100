// The emulated runtime: a stream runs its work when it gets it, or when somebody waits for it. Environment
// variables make devices:
//
//   GROUPCONV_EMULATED_DEVICES=2              so many; else one
//   GROUPCONV_EMULATED_CAPABILITIES=5.0,9.0   of what capability they are; else 9.0
//   GROUPCONV_EMULATED_FULL=0,1               those that have no memory
//   GROUPCONV_EMULATED_BUSY=0                 those that another process has for itself
//   GROUPCONV_EMULATED_LAUNCHES=100           what is launched after so many fails, and all that follows
#include <cuda_runtime.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "cuda/emulator/control.h"
#include "cuda/emulator/refusal.h"
#include "cuda/emulator/state.h"

struct EmulatedStream {
  explicit EmulatedStream(int device) : device(device) {}
  const int device;
  std::atomic<bool> capturing{false};
  cudaStreamCaptureMode mode{};
  std::vector<std::function<void()>> captured;
  std::recursive_mutex running;  // one at a time, in order
  std::mutex mutex;
  std::vector<std::function<void()>> pending;
};
struct EmulatedEvent {
  std::chrono::steady_clock::time_point recorded;
  EmulatedStream* stream = nullptr;
};
struct EmulatedGraph {
  std::vector<std::function<void()>> work;
};

using namespace emulator;

namespace {

// A call that could not be done is also told by the next cudaGetLastError of its thread.
thread_local cudaError_t last_error = cudaSuccess;
thread_local std::string last_refusal;

thread_local int current_device = 0;
std::atomic<uint64_t> opened_devices{0};

// As on a GPU, a failure stays: every later call tells it, on every thread.
std::mutex failure_mutex;
std::string failure;
void fail(const std::string& what) {
  const std::lock_guard<std::mutex> lock(failure_mutex);
  failure = what;
}

// The entries of a list in the environment.
std::vector<std::string> listed(const char* variable) {
  std::vector<std::string> entries;
  const char* list = std::getenv(variable);
  std::istringstream text(list ? list : "");
  for (std::string entry; std::getline(text, entry, ',');) entries.push_back(entry);
  return entries;
}
bool is_listed(const char* variable, int device) {
  const std::vector<std::string> devices = listed(variable);
  return std::find(devices.begin(), devices.end(), std::to_string(device)) != devices.end();
}

std::atomic<bool> deferred{false};
std::atomic<size_t> events_there{0};
std::mutex streams_mutex;
std::vector<EmulatedStream*> streams;

void run_now(const std::function<void()>& work) {
  if (status() != cudaSuccess) return;
  try {
    work();
  } catch (const std::exception& error) {
    fail(error.what());
  }
}
void run_pending(EmulatedStream* stream) {
  if (!stream) return;
  const std::lock_guard<std::recursive_mutex> in_order(stream->running);
  std::vector<std::function<void()>> pending;
  {
    const std::lock_guard<std::mutex> lock(stream->mutex);
    pending.swap(stream->pending);
  }
  for (const auto& work : pending) run_now(work);
}
// What would make a capture invalid fails.
cudaError_t outside_of_capture(cudaStream_t stream, const char* what) {
  if (stream && stream->capturing) fail(std::string(what) + " during a capture");
  return status();
}

// Of those that GROUPCONV_EMULATED_LAUNCHES grants.
bool is_a_launch_too_many() {
  static const char* const granted = std::getenv("GROUPCONV_EMULATED_LAUNCHES");
  static std::atomic<int> left{granted ? std::atoi(granted) : 0};
  return granted && left-- <= 0;
}

}  // namespace

cudaError_t emulator::keep(cudaError_t error) { return last_error = error; }
void emulator::open_device() { opened_devices |= uint64_t{1} << current_device; }
cudaError_t emulator::status() {
  const std::lock_guard<std::mutex> lock(failure_mutex);
  return failure.empty() ? cudaSuccess : cudaErrorLaunchFailure;
}
void emulator::run_all_pending() {
  const std::lock_guard<std::mutex> lock(streams_mutex);
  for (EmulatedStream* stream : streams) run_pending(stream);
}
void emulator::disturb_captures() {
  const std::lock_guard<std::mutex> lock(streams_mutex);
  for (const EmulatedStream* stream : streams)
    if (stream->capturing && stream->mode != cudaStreamCaptureModeRelaxed)
      fail("memory comes or goes during a capture");
}

void emulator::submit(void* stream, std::function<void()> work) {
  auto* target = static_cast<EmulatedStream*>(stream);
  if (target && target->capturing) return target->captured.push_back(std::move(work));
  if (!target || !deferred) {
    run_pending(target);
    return run_now(work);
  }
  const std::lock_guard<std::mutex> lock(target->mutex);
  target->pending.push_back(std::move(work));
}

void emulator::set_deferred(bool on) {
  deferred = on;
  if (!on) run_all_pending();
}
size_t emulator::events() { return events_there; }

bool emulator::only_checked = false;

bool emulator::accepts_launch(const void* kernel, Dim3 grid, Dim3 block, size_t shared_bytes) {
  if (is_a_launch_too_many()) fail("a launch too many");
  if (status() != cudaSuccess) return false;
  last_refusal = refusal_of(kernel, current_device, grid, block, shared_bytes);
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
         : error == cudaErrorDevicesUnavailable   ? "CUDA-capable device(s) is/are busy or unavailable"
         : error == cudaErrorInvalidValue         ? "invalid argument"
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
  if (is_listed("GROUPCONV_EMULATED_BUSY", device)) return keep(cudaErrorDevicesUnavailable);
  return cudaSuccess;  // whatever has failed there: others tell it
}
cudaError_t cudaDeviceSynchronize() {
  open_device();
  const std::lock_guard<std::mutex> lock(streams_mutex);
  for (EmulatedStream* stream : streams) {
    if (stream->device != current_device) continue;
    run_pending(stream);
    outside_of_capture(stream, "a wait for the device");
  }
  return status();
}
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute, int value) {
  if (status() != cudaSuccess) return status();
  const bool allowed = emulator::allow_shared(kernel, current_device, static_cast<size_t>(value));
  return allowed ? cudaSuccess : keep(cudaErrorInvalidValue);
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* kernel) {
  attributes->maxDynamicSharedSizeBytes = static_cast<int>(emulator::allowed_shared(kernel, current_device));
  return status();
}
cudaError_t cudaGetDeviceCount(int* count) {
  const char* devices = std::getenv("GROUPCONV_EMULATED_DEVICES");
  *count = devices ? std::atoi(devices) : 1;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  *properties = {};
  const std::string name = "emulated device" + (device > 0 ? " " + std::to_string(device) : std::string());
  std::snprintf(properties->name, sizeof properties->name, "%s", name.c_str());
  const std::vector<std::string> capabilities = listed("GROUPCONV_EMULATED_CAPABILITIES");
  const auto index = static_cast<size_t>(device);
  properties->major = 9;
  if (index < capabilities.size())
    std::sscanf(capabilities[index].c_str(), "%d.%d", &properties->major, &properties->minor);
  properties->multiProcessorCount = 2;
  properties->totalGlobalMem = size_t{4} << 30;
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  emulator::submit(stream, [=] { std::memcpy(to, from, bytes); });
  return status();
}
cudaError_t cudaMemsetAsync(void* target, int value, size_t bytes, cudaStream_t stream) {
  emulator::submit(stream, [=] { std::memset(target, value, bytes); });
  return status();
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  if (is_listed("GROUPCONV_EMULATED_FULL", current_device)) return keep(cudaErrorMemoryAllocation);
  *stream = new EmulatedStream(current_device);
  const std::lock_guard<std::mutex> lock(streams_mutex);
  streams.push_back(*stream);
  return status();
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  run_pending(stream);
  const std::lock_guard<std::mutex> lock(streams_mutex);
  streams.erase(std::find(streams.begin(), streams.end(), stream));
  delete stream;
  return status();
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  run_pending(stream);
  return outside_of_capture(stream, "a wait");
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  if (status() != cudaSuccess) return status();
  *event = new EmulatedEvent;
  ++events_there;
  return status();
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  --events_there;
  return status();
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  event->stream = stream;
  event->recorded = std::chrono::steady_clock::now();
  return outside_of_capture(stream, "an event");
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  open_device();
  run_pending(event->stream);
  return status();
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  *milliseconds = std::chrono::duration<float, std::milli>(to->recorded - from->recorded).count();
  return status();
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  stream->mode = mode;
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
  open_device();
  delete executable;
  return status();
}
