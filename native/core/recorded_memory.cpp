#include "core/recorded_memory.h"

#include <limits>

#include "core/stream.h"

namespace groupconv {

RecordedMemory::RecordedMemory(Stream& stream)
    : arena_(std::numeric_limits<size_t>::max(),
             {[&stream](size_t bytes) { return stream.take(bytes); },
              [&stream](void* block, size_t bytes) { stream.give(block, bytes); }}) {}

void RecordedMemory::release(void* block, size_t bytes) noexcept {
  arena_.release(block, bytes);
  if (closed_) arena_.trim();
}

void RecordedMemory::close() noexcept {
  closed_ = true;
  arena_.trim();
}

}  // namespace groupconv
