#include "core/recorded_memory.h"

#include "core/arena.h"
#include "core/stream.h"

namespace groupconv {

void* RecordedMemory::allocate(size_t bytes) {
  const size_t size = Arena::class_bytes(bytes);
  std::vector<void*>& kept = free_[size];
  if (!kept.empty()) {
    void* block = kept.back();
    kept.pop_back();
    return block;
  }
  void* block = stream_.take(size);
  bytes_ += size;
  return block;
}

void RecordedMemory::release(void* block, size_t bytes) noexcept {
  const size_t size = Arena::class_bytes(bytes);
  if (closed_) return stream_.give(block, size);
  free_[size].push_back(block);
}

void RecordedMemory::close() noexcept {
  closed_ = true;
  for (const auto& [size, blocks] : free_)
    for (void* block : blocks) stream_.give(block, size);
  free_.clear();
}

}  // namespace groupconv
