// Host memory in size classes, kept for reuse: fresh pages cost more than arithmetic. Blocks are 64-byte
// aligned; from 2 MiB on they start at a huge-page boundary.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

namespace groupconv {

class Arena {
 public:
  // `limit`: bytes this arena may take from the system altogether.
  explicit Arena(size_t limit) : limit_(limit) {}
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // Null when the limit or the system refuses, after a look through the kept blocks.
  void* allocate(size_t bytes);
  void release(void* block, size_t bytes) noexcept;
  // Gives the kept blocks back to the system. No queued work may still use them.
  void trim() noexcept;

  size_t reserved_bytes() const;  // taken from the system
  size_t used_bytes() const;      // handed out now, as rounded to size classes
  size_t peak_bytes() const;      // the most ever handed out

  // Eight classes to a power of two: at most 12.5 % of a block is unused.
  static size_t class_bytes(size_t bytes);

 private:
  mutable std::mutex mutex_;
  std::map<size_t, std::vector<void*>> free_;
  size_t limit_, reserved_ = 0, used_ = 0, peak_ = 0;
};

}  // namespace groupconv
