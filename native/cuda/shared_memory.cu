#include "cuda/shared_memory.h"

#include <atomic>
#include <mutex>

#include "cuda/launch.h"

namespace groupconv::cuda {
namespace {

constexpr size_t kAlwaysAllowed = 48 * 1024;

// What is allowed for one kernel on one device. Made at the first launch that needs it, and there until the
// process ends: whoever reads the lists needs no lock.
struct Allowed {
  const void* const kernel;
  const int device;
  Allowed* const next;
  std::atomic<size_t> bytes{kAlwaysAllowed};
};

constexpr size_t kLists = 256;  // more than there are such kernels
std::atomic<Allowed*> lists[kLists];
std::mutex growing;

std::atomic<Allowed*>& list_of(const void* kernel, int device) {
  // Entries of functions are 16 bytes apart.
  return lists[(reinterpret_cast<uintptr_t>(kernel) / 16 + static_cast<size_t>(device)) % kLists];
}

Allowed* find(const void* kernel, int device) {
  Allowed* found = list_of(kernel, device).load(std::memory_order_acquire);
  while (found && (found->kernel != kernel || found->device != device)) found = found->next;
  return found;
}

}  // namespace

void allow_shared_memory(const void* kernel, int device, size_t bytes) {
  if (bytes <= kAlwaysAllowed) return;
  // Written after CUDA knows it.
  if (const Allowed* known = find(kernel, device); known && bytes <= known->bytes.load()) return;
  const std::lock_guard<std::mutex> lock(growing);
  Allowed* known = find(kernel, device);
  if (known && bytes <= known->bytes) return;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)),
        "shared memory");
  if (!known) {
    std::atomic<Allowed*>& list = list_of(kernel, device);
    known = new Allowed{kernel, device, list.load()};
    list.store(known, std::memory_order_release);
  }
  known->bytes = bytes;
}

}  // namespace groupconv::cuda
