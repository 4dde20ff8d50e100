// Memory in size classes, kept for reuse: fresh pages cost more than arithmetic.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

namespace groupconv {

// Where an arena's blocks come from: at least 64-byte aligned, or null.
struct MemorySource {
  std::function<void*(size_t bytes)> allocate;
  std::function<void(void* block)> release;
};
// The host's; from 2 MiB on, blocks start at a huge-page boundary.
MemorySource host_memory();

class Arena {
 public:
  // `limit`: bytes this arena may take from the source altogether.
  explicit Arena(size_t limit, MemorySource source = host_memory())
      : limit_(limit), source_(std::move(source)) {}
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // Null when the limit or the source refuses, after a look through the kept blocks. Throws what the source
  // throws.
  void* allocate(size_t bytes);
  // `stamp`: a number that `trim` may ask for, which never falls from one release to the next.
  void release(void* block, size_t bytes, uint64_t stamp = 0) noexcept;
  // Gives kept blocks back to the source: those released with no later stamp than this. No queued work may
  // still use them. How many bytes.
  size_t trim(uint64_t latest = ~uint64_t{0}) noexcept;

  size_t reserved_bytes() const;  // taken from the source
  size_t used_bytes() const;      // handed out now, as rounded to size classes
  size_t peak_bytes() const;      // the most ever handed out

  // Eight classes to a power of two: at most 12.5 % of a block is unused.
  static size_t class_bytes(size_t bytes);

 private:
  mutable std::mutex mutex_;
  struct Kept {
    void* block;
    uint64_t stamp;
  };
  std::map<size_t, std::vector<Kept>> free_;  // in the order of their release
  const size_t limit_;
  const MemorySource source_;
  size_t reserved_ = 0, used_ = 0, peak_ = 0;
};

}  // namespace groupconv
