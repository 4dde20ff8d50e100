// The emulated devices' memory: the host's, poisoned when it is new.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "cuda/emulator/control.h"
#include "cuda/emulator/state.h"

using namespace emulator;

namespace {

std::mutex memory_mutex;
std::map<void*, size_t> blocks;  // the devices'
std::atomic<size_t> host_blocks_used{0};
size_t memory_there = ~size_t{0}, memory_used = 0;

cudaError_t allocate(void** block, size_t bytes) {
  open_device();
  if (status() != cudaSuccess) return status();
  *block = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (!*block) return keep(cudaErrorMemoryAllocation);
  std::memset(*block, 0xcd, bytes);
  return cudaSuccess;
}
cudaError_t release(void* block) {
  open_device();
  run_all_pending();
  std::free(block);
  return status();
}

}  // namespace

void emulator::set_memory(size_t bytes) {
  const std::lock_guard<std::mutex> lock(memory_mutex);
  memory_there = bytes;
}
size_t emulator::memory_in_use() {
  const std::lock_guard<std::mutex> lock(memory_mutex);
  return memory_used;
}

size_t emulator::host_blocks() { return host_blocks_used; }

cudaError_t cudaMalloc(void** block, size_t bytes) {
  disturb_captures();
  const std::lock_guard<std::mutex> lock(memory_mutex);
  if (status() == cudaSuccess && bytes > memory_there - std::min(memory_there, memory_used))
    return keep(cudaErrorMemoryAllocation);
  const cudaError_t result = allocate(block, bytes);
  if (result == cudaSuccess) memory_used += blocks[*block] = bytes;
  return result;
}
cudaError_t cudaFree(void* block) {
  disturb_captures();
  run_all_pending();
  const std::lock_guard<std::mutex> lock(memory_mutex);
  if (const auto found = blocks.find(block); found != blocks.end()) {
    memory_used -= found->second;
    blocks.erase(found);
  }
  return release(block);
}
cudaError_t cudaMallocHost(void** block, size_t bytes) {
  disturb_captures();
  ++host_blocks_used;
  return allocate(block, bytes);
}
cudaError_t cudaFreeHost(void* block) {
  disturb_captures();
  --host_blocks_used;
  return release(block);
}
