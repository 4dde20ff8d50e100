#include "core/regions.h"

#include <algorithm>

namespace groupconv {
namespace {

// A region is a quarter of what is held already, within these bounds: few programs hold much more than they
// use, and large ones have few borders that ranges can't cross. The allocations of a training step of
// ResNeXt-50, gone through again, need 1.04 times what is in use at most; 1.18 with 2 MiB for every region
// and with up to 1 GiB.
constexpr size_t kHugePage = size_t{2} << 20, kLargest = size_t{64} << 20, kShare = 4;

size_t in_pages(size_t bytes) { return (bytes + kHugePage - 1) / kHugePage * kHugePage; }

}  // namespace

void* Regions::allocate(size_t bytes, size_t most) {
  bytes = in_lines(bytes);
  auto found = by_size_.lower_bound({bytes, nullptr});
  if (found == by_size_.end()) {
    if (!grow(bytes, most)) return nullptr;
    found = by_size_.lower_bound({bytes, nullptr});
  }
  const auto range = free_.find(found->second);
  const auto [begin, whole] = *range;
  remove(range);
  if (whole.bytes > bytes) add(begin + bytes, {whole.bytes - bytes, whole.stamp});
  return begin;
}

bool Regions::grow(size_t bytes, size_t most) {
  const size_t least = in_pages(bytes);
  for (size_t size : {std::max(least, in_pages(std::min(bytes_ / kShare, kLargest))), least, bytes}) {
    if (size > most) continue;
    if (const auto region = static_cast<char*>(source_.allocate(size))) {
      regions_.emplace(region, size);
      bytes_ += size;
      add(region, {size, 0});
      return true;
    }
  }
  return false;
}

void Regions::release(void* block, size_t bytes, uint64_t stamp) noexcept {
  auto begin = static_cast<char*>(block);
  Range range{in_lines(bytes), stamp};
  const auto [region, size] = *std::prev(regions_.upper_bound(begin));
  const auto absorb = [&](Ranges::iterator other) {
    range.bytes += other->second.bytes;
    range.stamp = std::max(range.stamp, other->second.stamp);
    return remove(other);
  };
  auto next = free_.lower_bound(begin);
  if (next != free_.end() && next->first == begin + range.bytes && next->first < region + size)
    next = absorb(next);
  if (next != free_.begin())
    if (const auto before = std::prev(next);
        before->first >= region && before->first + before->second.bytes == begin) {
      begin = before->first;
      absorb(before);
    }
  add(begin, range);
}

size_t Regions::trim(uint64_t latest) noexcept {
  size_t given = 0;
  for (auto region = regions_.begin(); region != regions_.end();) {
    const auto [begin, bytes] = *region;
    const auto range = free_.find(begin);
    if (range == free_.end() || range->second.bytes != bytes || range->second.stamp > latest) {
      ++region;
      continue;
    }
    remove(range);
    region = regions_.erase(region);
    source_.release(begin, bytes);
    given += bytes;
  }
  bytes_ -= given;
  return given;
}

void Regions::add(char* begin, Range range) {
  free_.emplace(begin, range);
  by_size_.emplace(range.bytes, begin);
}

Regions::Ranges::iterator Regions::remove(Ranges::iterator range) {
  by_size_.erase({range->second.bytes, range->first});
  return free_.erase(range);
}

}  // namespace groupconv
