#include "cuda/emulator/refusal.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <stdexcept>
#include <utility>

namespace emulator {
namespace {

constexpr unsigned kMostThreads = 1024, kMostThreadsZ = 64;
constexpr unsigned kMostBlocksX = 0x7fffffff, kMostBlocksYZ = 65535;
constexpr size_t kMostSharedBytes = 99 * 1024;  // of sm_86, 89 and 120; others have more
constexpr size_t kSharedUnasked = 48 * 1024;

std::mutex allowed_mutex;
std::map<std::pair<const void*, int>, size_t> allowed;

std::string text_of(Dim3 extent) {
  return std::to_string(extent.x) + " x " + std::to_string(extent.y) + " x " + std::to_string(extent.z);
}

}  // namespace

size_t allowed_shared(const void* kernel, int device) {
  const std::lock_guard<std::mutex> lock(allowed_mutex);
  const auto found = allowed.find({kernel, device});
  return found == allowed.end() ? kSharedUnasked : found->second;
}
bool allow_shared(const void* kernel, int device, size_t bytes) {
  if (bytes > kMostSharedBytes) return false;
  const std::lock_guard<std::mutex> lock(allowed_mutex);
  allowed[{kernel, device}] = bytes;
  return true;
}

std::string refusal_of(const void* kernel, int device, Dim3 grid, Dim3 block, size_t shared_bytes) {
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  if (threads < 1 || threads > kMostThreads || block.z > kMostThreadsZ)
    return "a block of " + text_of(block) + " threads";
  if (!grid.x || !grid.y || !grid.z || grid.x > kMostBlocksX || std::max(grid.y, grid.z) > kMostBlocksYZ)
    return "a grid of " + text_of(grid) + " blocks";
  if (const size_t most = std::max(kSharedUnasked, allowed_shared(kernel, device)); shared_bytes > most)
    return std::to_string(shared_bytes) + " bytes of shared memory, " + std::to_string(most) + " are allowed";
  return "";
}

void SharedMemory::Free::operator()(unsigned char* bytes) const { std::free(bytes); }

void SharedMemory::assign(size_t bytes, unsigned char poison) {
  const size_t room = (bytes + 2 * kGuard + kGuard - 1) / kGuard * kGuard;
  if (room > room_) {
    bytes_.reset(static_cast<unsigned char*>(std::aligned_alloc(kGuard, room)));
    room_ = room;
  }
  size_ = bytes;
  std::memset(bytes_.get(), kPattern, kGuard);
  std::memset(data(), poison, bytes);
  std::memset(data() + bytes, kPattern, kGuard);
}

bool SharedMemory::intact() const {
  const auto untouched = [](const unsigned char* guard) {
    return std::all_of(guard, guard + kGuard, [](unsigned char byte) { return byte == kPattern; });
  };
  return untouched(bytes_.get()) && untouched(data() + size_);
}

bool SharedMemory::holds(const void* address, size_t bytes) const {
  const auto* first = static_cast<const unsigned char*>(address);
  return first >= data() && first + bytes <= data() + size_;
}

void check_aligned(const void* address, size_t bytes) {
  if (reinterpret_cast<uintptr_t>(address) % bytes != 0)
    throw std::runtime_error("misaligned address: an access of " + std::to_string(bytes) + " bytes");
}

}  // namespace emulator
