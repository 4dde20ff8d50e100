// Memory of a native test: 64-byte aligned, with watched surroundings.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace groupconv::test {

// `T` is a type of 2 or 4 bytes. Contents start as 0xff: NaN in every floating type.
template <class T = float>
class Guarded {
 public:
  explicit Guarded(size_t size) : memory_((size + kExtra) * sizeof(T), kSentinel), size_(size) {
    const uintptr_t start = reinterpret_cast<uintptr_t>(memory_.data()) + kGuard;
    offset_ = (start + 63) / 64 * 64 - reinterpret_cast<uintptr_t>(memory_.data());
    std::memset(data(), 0xff, size * sizeof(T));
  }
  explicit Guarded(const std::vector<T>& values) : Guarded(values.size()) {
    if (!values.empty()) std::memcpy(data(), values.data(), values.size() * sizeof(T));
  }
  T* data() { return reinterpret_cast<T*>(memory_.data() + offset_); }
  size_t size() const { return size_; }
  std::vector<T> values() { return std::vector<T>(data(), data() + size_); }
  bool intact() const {
    for (size_t i = 0; i < memory_.size(); ++i)
      if ((i < offset_ || i >= offset_ + size_ * sizeof(T)) && memory_[i] != kSentinel) return false;
    return true;
  }

 private:
  static constexpr size_t kGuard = 256;                           // bytes before
  static constexpr size_t kExtra = (2 * kGuard + 64) / sizeof(T);  // elements around
  static constexpr unsigned char kSentinel = 0xa5;
  std::vector<unsigned char> memory_;
  size_t size_, offset_;
};

// The same bits, NaN included.
template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || !std::memcmp(a.data(), b.data(), a.size() * sizeof(T)));
}

}  // namespace groupconv::test
