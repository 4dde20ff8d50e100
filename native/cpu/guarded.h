// The native tests' memory: aligned as on a stream, surrounded by guards, filled from and read back to N C H
// W.
#pragma once
#include <cstdint>
#include <cstring>
#include <vector>

#include "core/check.h"
#include "cpu/context.h"
#include "cpu/layout.h"

namespace groupconv::test {

constexpr size_t kGuard = 64;       // floats before and after every buffer
constexpr float kSentinel = 12345;  // what guards hold

// 64-byte aligned floats whose surroundings are watched; NaN until written.
class Guarded {
 public:
  explicit Guarded(size_t size) : memory_(size + 2 * kGuard + 16, kSentinel), size_(size) {
    const size_t misaligned = reinterpret_cast<uintptr_t>(memory_.data()) / sizeof(float) % 16;
    offset_ = kGuard + (16 - misaligned) % 16;
    for (size_t i = 0; i < size; ++i) data()[i] = NAN;
  }
  explicit Guarded(const std::vector<float>& values) : Guarded(values.size()) {
    if (size_) std::memcpy(data(), values.data(), size_ * sizeof(float));
  }
  // `plain` (N C H W) in the layout N C/B H W B.
  Guarded(const Shape& shape, const std::vector<float>& plain, int block)
      : Guarded(static_cast<size_t>(Tensor::physical_size(shape, block))) {
    relayout(CpuContext(1), shape, 4, plain.data(), 1, data(), block);
  }
  Guarded(const Shape& shape, int block)
      : Guarded(static_cast<size_t>(Tensor::physical_size(shape, block))) {}

  float* data() { return memory_.data() + offset_; }
  const float* data() const { return memory_.data() + offset_; }
  size_t size() const { return size_; }
  std::vector<float> values() const { return std::vector<float>(data(), data() + size_); }
  std::vector<float> plain(const Shape& shape, int block) const {
    std::vector<float> values(static_cast<size_t>(shape.size()));
    relayout(CpuContext(1), shape, 4, data(), block, values.data(), 1);
    return values;
  }
  bool intact() const {
    for (size_t i = 0; i < memory_.size(); ++i)
      if ((i < offset_ || i >= offset_ + size_) && memory_[i] != kSentinel) return false;
    return true;
  }
  bool pad_lanes_zero(const Shape& shape, int block) const {
    if (block == 1) return true;
    const int64_t blocks = (shape[1] + block - 1) / block, pixels = shape[2] * shape[3];
    for (int64_t n = 0; n < shape[0]; ++n)
      for (int64_t pixel = 0; pixel < pixels; ++pixel)
        for (int64_t c = shape[1]; c < blocks * block; ++c)
          if (data()[((n * blocks + c / block) * pixels + pixel) * block + c % block] != 0) return false;
    return true;
  }

 private:
  std::vector<float> memory_;
  size_t size_, offset_;
};

// A row-major tensor on a stream, and a tensor's values in row-major order once the stream is done.
inline TensorPtr tensor_of(const std::shared_ptr<Stream>& stream, const Shape& shape,
                           const std::vector<float>& values) {
  const TensorPtr tensor = make_tensor(stream, shape, DType::Float32);
  std::memcpy(tensor->target_in_layout(1), values.data(), values.size() * sizeof(float));
  return tensor;
}
inline std::vector<float> values_of(const Tensor& tensor) {
  const float* data = tensor.in_layout(1);
  tensor.stream().synchronize();
  return std::vector<float>(data, data + tensor.size());
}

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && (a.empty() || !std::memcmp(a.data(), b.data(), a.size() * sizeof(float)));
}

}  // namespace groupconv::test
