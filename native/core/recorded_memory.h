// The memory of a recording: blocks of the stream's that are handed out again within the recording alone, in
// its order. So a replay, which keeps that order, may use them again, and nobody else can come in between.
#pragma once
#include "core/arena.h"

namespace groupconv {

class Stream;

class RecordedMemory {
 public:
  explicit RecordedMemory(Stream& stream);
  RecordedMemory(const RecordedMemory&) = delete;
  RecordedMemory& operator=(const RecordedMemory&) = delete;

  // Throws OUT_OF_MEMORY.
  void* allocate(size_t bytes);
  void release(void* block, size_t bytes) noexcept;
  // The recording is gone: blocks go back to the stream, those in use when they are released.
  void close() noexcept;
  size_t bytes() const { return arena_.reserved_bytes(); }  // taken from the stream

 private:
  Arena arena_;
  bool closed_ = false;
};

}  // namespace groupconv
