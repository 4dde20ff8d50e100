// What several operators ask of their arguments at the door, beside their dtypes (tensor.h).
#pragma once
#include "core/tensor.h"

namespace groupconv {

inline void require_shape(const char* op, const char* name, const Tensor& tensor, const Shape& expected) {
  require(tensor.shape() == expected, ErrorCode::InvalidShape, op, ": ", name, " ", tensor.shape(),
          ", expected ", expected);
}
// Where the expected shape follows from another argument's.
inline void require_shape(const char* op, const char* name, const Tensor& tensor, const Shape& expected,
                          const char* other, const Shape& its) {
  require(tensor.shape() == expected, ErrorCode::InvalidShape, op, ": ", name, " ", tensor.shape(), " for ",
          other, " ", its, ", expected ", expected);
}
// Of element-wise operators.
inline void require_alike(const char* op, const Tensor& y, const Tensor& dy, const Tensor& dx) {
  require(dy.shape() == y.shape() && dx.shape() == y.shape(), ErrorCode::InvalidShape, op, ": gradient ",
          dy.shape(), " for ", y.shape());
}
// Of operators on channels. Returns the number of pixels.
inline int64_t require_channels(const char* op, const char* name, const Shape& shape) {
  require(shape.rank() == 4 || shape.rank() == 2, ErrorCode::InvalidShape, op, ": ", name, " ", shape,
          " has rank ", shape.rank(), ", expected [N, C, H, W] or [N, C]");
  return shape.rank() == 4 ? shape[2] * shape[3] : 1;
}
// An axis may be counted from the end.
inline int axis_from_start(const char* op, const Shape& x, int axis) {
  const int rank = x.rank(), from_start = axis < 0 ? axis + rank : axis;
  require(from_start >= 0 && from_start < rank, ErrorCode::InvalidArgument, op, ": axis ", axis, " of x ", x,
          ", which has ", rank, rank == 1 ? " dimension" : " dimensions");
  return from_start;
}
inline void require_fraction(const char* op, const char* name, double value) {
  require(value >= 0 && value <= 1, ErrorCode::InvalidArgument, op, ": ", name,
          " is a number from 0 to 1, found ", value);
}

}  // namespace groupconv
