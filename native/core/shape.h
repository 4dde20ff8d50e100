// Logical extents of a tensor, outermost first; 4-D shapes are always N C H W. Every extent is at least 1.
#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>
#include <ostream>

#include "core/error.h"

namespace groupconv {

class Shape {
 public:
  static constexpr int kMaxRank = 6;

  Shape() = default;
  Shape(std::initializer_list<int64_t> extents) {
    for (int64_t extent : extents) push_back(extent);
  }

  // Throws INVALID_SHAPE for an extent below 1, for too many extents and for more than 2^40 elements.
  void push_back(int64_t extent) {
    require(rank_ < kMaxRank, ErrorCode::InvalidShape, "shape: more than ", int{kMaxRank}, " dimensions");
    require(extent >= 1, ErrorCode::InvalidShape, "shape: every extent is at least 1, found ", extent);
    require(size() <= (int64_t{1} << 40) / extent, ErrorCode::InvalidShape, "shape: more than 2^40 elements");
    extents_[rank_++] = extent;
  }

  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return extents_[axis]; }
  int64_t size() const {
    int64_t product = 1;
    for (int axis = 0; axis < rank_; ++axis) product *= extents_[axis];
    return product;
  }
  const int64_t* begin() const { return extents_.data(); }
  const int64_t* end() const { return extents_.data() + rank_; }

  friend bool operator==(const Shape& a, const Shape& b) {
    if (a.rank_ != b.rank_) return false;
    for (int axis = 0; axis < a.rank_; ++axis)
      if (a.extents_[axis] != b.extents_[axis]) return false;
    return true;
  }
  friend std::ostream& operator<<(std::ostream& out, const Shape& shape) {  // [2, 3, 224, 224]
    out << '[';
    for (int axis = 0; axis < shape.rank_; ++axis) out << (axis ? ", " : "") << shape.extents_[axis];
    return out << ']';
  }

 private:
  std::array<int64_t, kMaxRank> extents_{};
  int rank_ = 0;
};

}  // namespace groupconv
