#include "core/recorded_memory.h"

#include <limits>

#include "core/stream.h"

namespace groupconv {

RecordedMemory::RecordedMemory(Stream& stream)
    : arena_(std::numeric_limits<size_t>::max(),
             {[&stream](size_t bytes) -> void* {
                try {
                  return stream.take(bytes);
                } catch (const Error& error) {  // less may be had
                  if (error.code() != ErrorCode::OutOfMemory) throw;
                  return nullptr;
                }
              },
              [&stream](void* block, size_t bytes) { stream.give(block, bytes); }}) {}

void* RecordedMemory::allocate(size_t bytes) {
  void* const block = arena_.allocate(bytes);
  require(block, ErrorCode::OutOfMemory, "capture: no memory for ", bytes, " bytes; ", arena_.used_bytes(),
          " are in use");
  return block;
}

void RecordedMemory::release(void* block, size_t bytes) noexcept {
  arena_.release(block, bytes);
  if (closed_) arena_.trim();
}

void RecordedMemory::close() noexcept {
  closed_ = true;
  arena_.trim();
}

}  // namespace groupconv
