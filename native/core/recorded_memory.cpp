#include "core/recorded_memory.h"

#include "core/arena.h"
#include "core/stream.h"

namespace groupconv {

RecordedMemory::~RecordedMemory() {
  for (const auto& [block, bytes] : blocks_) stream_.give(block, bytes);
}

void* RecordedMemory::allocate(size_t bytes) {
  const size_t size = Arena::class_bytes(bytes);
  std::vector<void*>& kept = free_[size];
  if (!kept.empty()) {
    void* block = kept.back();
    kept.pop_back();
    return block;
  }
  void* block = stream_.take(size);
  blocks_.emplace_back(block, size);
  bytes_ += size;
  return block;
}

void RecordedMemory::release(void* block, size_t bytes) noexcept {
  free_[Arena::class_bytes(bytes)].push_back(block);
}

}  // namespace groupconv
