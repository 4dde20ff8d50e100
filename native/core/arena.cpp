#include "core/arena.h"

#include <algorithm>
#include <bit>
#include <cstdlib>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace groupconv {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kHugePage = size_t{2} << 20;

void* from_system(size_t bytes) {
  const bool large = bytes >= kHugePage;
  const size_t alignment = large ? kHugePage : kAlignment;
  void* block = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
#if defined(__linux__)
  if (block && large) madvise(block, bytes, MADV_HUGEPAGE);
#endif
  return block;
}

}  // namespace

MemorySource host_memory() { return {from_system, std::free}; }

Arena::~Arena() { trim(); }

size_t Arena::class_bytes(size_t bytes) {
  bytes = std::max(bytes, kAlignment);
  const size_t step = std::max(kAlignment, std::bit_floor(bytes) / 8);
  return (bytes + step - 1) / step * step;
}

void* Arena::allocate(size_t bytes) {
  const size_t size = class_bytes(bytes);
  std::lock_guard<std::mutex> lock(mutex_);
  void* block = nullptr;
  if (auto found = free_.find(size); found != free_.end() && !found->second.empty()) {
    block = found->second.back().block;
    found->second.pop_back();
  } else {
    if (size > limit_ - std::min(limit_, reserved_)) return nullptr;
    block = source_.allocate(size);
    if (!block) return nullptr;
    reserved_ += size;
  }
  used_ += size;
  peak_ = std::max(peak_, used_);
  return block;
}

void Arena::release(void* block, size_t bytes, uint64_t stamp) noexcept {
  const size_t size = class_bytes(bytes);
  std::lock_guard<std::mutex> lock(mutex_);
  used_ -= size;
  free_[size].push_back({block, stamp});
}

size_t Arena::trim(uint64_t latest) noexcept {
  std::lock_guard<std::mutex> lock(mutex_);
  size_t bytes = 0;
  for (auto& [size, blocks] : free_) {
    const auto end =
        std::find_if(blocks.begin(), blocks.end(), [&](const Kept& k) { return k.stamp > latest; });
    for (auto kept = blocks.begin(); kept != end; ++kept) {
      source_.release(kept->block);
      bytes += size;
    }
    blocks.erase(blocks.begin(), end);
  }
  reserved_ -= bytes;
  return bytes;
}

size_t Arena::reserved_bytes() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return reserved_;
}
size_t Arena::used_bytes() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return used_;
}
size_t Arena::peak_bytes() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return peak_;
}

}  // namespace groupconv
