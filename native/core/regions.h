// Memory cut to measure: the smallest free range that fits gives a block, what is left of it stays free, and
// free neighbours become one. Ranges lie in regions, which come from a source and go back when wholly free.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <utility>

namespace groupconv {

// Where memory comes from: at least 64-byte aligned, or null.
struct MemorySource {
  std::function<void*(size_t bytes)> allocate;
  std::function<void(void* block, size_t bytes)> release;
};

// Blocks are whole lines of kLine bytes; whoever returns one says how large it was.
class Regions {
 public:
  static constexpr size_t kLine = 64;
  static constexpr size_t in_lines(size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

  explicit Regions(MemorySource source) : source_(std::move(source)) {}
  Regions(const Regions&) = delete;
  Regions& operator=(const Regions&) = delete;

  // `most`: what may be taken from the source for it. Null where that or the source refuses. Throws what the
  // source throws.
  void* allocate(size_t bytes, size_t most);
  void release(void* block, size_t bytes, uint64_t stamp) noexcept;
  // Gives regions back that are free and hold nothing that was released after `latest`. How many bytes.
  size_t trim(uint64_t latest) noexcept;
  size_t bytes() const { return bytes_; }  // taken from the source

 private:
  struct Range {
    size_t bytes;
    uint64_t stamp;  // of the last release in it
  };
  using Ranges = std::map<char*, Range>;

  bool grow(size_t bytes, size_t most);
  void add(char* begin, Range range);
  Ranges::iterator remove(Ranges::iterator range);

  const MemorySource source_;
  std::map<char*, size_t> regions_;
  Ranges free_;  // by address: no two touch within a region
  std::set<std::pair<size_t, char*>> by_size_;
  size_t bytes_ = 0;
};

}  // namespace groupconv
