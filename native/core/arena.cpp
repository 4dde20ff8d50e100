#include "core/arena.h"

#include <algorithm>
#include <bit>
#include <cstdlib>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace groupconv {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

// Below it a class's spare blocks cost less than the search for a range.
#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kLeastOfRegions = ~size_t{0};  // AddressSanitizer sees borders of blocks, not of ranges
#else
constexpr size_t kLeastOfRegions = size_t{64} << 10;
#endif

void* from_system(size_t bytes) {
  const bool large = bytes >= kHugePage;
  const size_t alignment = large ? kHugePage : Regions::kLine;
  void* block = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
#if defined(__linux__)
  if (block && large) madvise(block, bytes, MADV_HUGEPAGE);
#endif
  return block;
}

}  // namespace

MemorySource host_memory() {
  return {from_system, [](void* block, size_t) { std::free(block); }};
}

Arena::Arena(size_t limit, MemorySource source)
    : limit_(limit), source_(std::move(source)), regions_(source_) {}

Arena::~Arena() { trim(); }

bool Arena::is_small(size_t bytes) { return bytes < kLeastOfRegions; }

size_t Arena::rounded(size_t bytes) {
  if (!is_small(bytes)) return Regions::in_lines(bytes);
  bytes = std::max(bytes, Regions::kLine);
  const size_t step = std::max(Regions::kLine, std::bit_floor(bytes) / 8);
  return (bytes + step - 1) / step * step;
}

void* Arena::allocate(size_t bytes) {
  const size_t size = rounded(bytes);
  std::lock_guard<std::mutex> lock(mutex_);
  void* const block = is_small(bytes) ? allocate_small(size) : regions_.allocate(size, left());
  if (!block) return nullptr;
  used_ += size;
  peak_ = std::max(peak_, used_);
  return block;
}

void* Arena::allocate_small(size_t size) {
  if (const auto found = kept_.find(size); found != kept_.end() && !found->second.empty()) {
    void* const block = found->second.back().block;
    found->second.pop_back();
    return block;
  }
  if (size > left()) return nullptr;
  void* const block = source_.allocate(size);
  if (block) small_ += size;
  return block;
}

void Arena::release(void* block, size_t bytes, uint64_t stamp) noexcept {
  const size_t size = rounded(bytes);
  std::lock_guard<std::mutex> lock(mutex_);
  used_ -= size;
  if (is_small(bytes))
    kept_[size].push_back({block, stamp});
  else
    regions_.release(block, size, stamp);
}

size_t Arena::trim(uint64_t latest) noexcept {
  std::lock_guard<std::mutex> lock(mutex_);
  size_t given = 0;
  for (auto& [size, blocks] : kept_) {
    const auto end =
        std::find_if(blocks.begin(), blocks.end(), [&](const Kept& k) { return k.stamp > latest; });
    for (auto kept = blocks.begin(); kept != end; ++kept) {
      source_.release(kept->block, size);
      given += size;
    }
    blocks.erase(blocks.begin(), end);
  }
  small_ -= given;
  return given + regions_.trim(latest);
}

size_t Arena::reserved_bytes() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return small_ + regions_.bytes();
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
