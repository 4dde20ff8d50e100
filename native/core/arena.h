// Memory that is kept for reuse: fresh pages cost more than arithmetic. Small blocks come in size classes,
// large ones are cut out of regions.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

#include "core/regions.h"

namespace groupconv {

// The host's; from 2 MiB on, blocks start at a huge-page boundary.
MemorySource host_memory();

class Arena {
 public:
  // `limit`: bytes this arena may take from the source altogether.
  explicit Arena(size_t limit, MemorySource source = host_memory());
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // Null when the limit or the source refuses, after a look through the kept blocks. Throws what the source
  // throws.
  void* allocate(size_t bytes);
  // `stamp`: a number that `trim` may ask for, which never falls from one release to the next.
  void release(void* block, size_t bytes, uint64_t stamp = 0) noexcept;
  // Gives kept blocks and free regions back to the source: those released with no later stamp than this. No
  // queued work may still use them. How many bytes.
  size_t trim(uint64_t latest = ~uint64_t{0}) noexcept;

  size_t reserved_bytes() const;  // taken from the source
  size_t used_bytes() const;      // handed out now, as rounded
  size_t peak_bytes() const;      // the most ever handed out

  // What a block of so many bytes takes. Small ones: eight classes to a power of two, so that at most 12.5 %
  // of a block is unused.
  static size_t rounded(size_t bytes);
  // Whether it is kept by class; else it is cut out of a region.
  static bool is_small(size_t bytes);

 private:
  void* allocate_small(size_t size);
  size_t left() const { return limit_ - std::min(limit_, small_ + regions_.bytes()); }

  struct Kept {
    void* block;
    uint64_t stamp;
  };

  mutable std::mutex mutex_;
  const size_t limit_;
  const MemorySource source_;
  std::map<size_t, std::vector<Kept>> kept_;  // small blocks by class, in the order of their release
  Regions regions_;
  size_t small_ = 0;  // bytes taken from the source for small blocks
  size_t used_ = 0, peak_ = 0;
};

}  // namespace groupconv
