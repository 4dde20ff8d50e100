// The two operands of an element-wise operator: x, which has the result's shape, and values of the same
// shape, or one for every channel: [N, C, 1, 1] or [1, C, 1, 1] beside x [N, C, H, W].
#pragma once
#include "core/tensor.h"

namespace groupconv {

// How both lie in memory: x [n, blocks, pixels, lanes], the values [blocks, lanes]. A value for each channel
// of each image makes one image of more channels; values of x's own shape are [1, 1, 1, lanes].
struct Broadcast {
  int64_t n, blocks, pixels, lanes;
  bool is_plain() const { return n * pixels == 1; }
  int64_t size() const { return n * blocks * pixels * lanes; }
};
std::ostream& operator<<(std::ostream& out, const Broadcast& broadcast);

// Whether `values` has one for every channel of x [N, C, H, W], in each image or in all.
bool are_channel_values(const Shape& values, const Shape& x);

struct Operands {
  const Tensor *x, *values;
  int block;  // the layout of both
  Broadcast broadcast;
};
// Two arguments in either order. INVALID_SHAPE, where they are no such pair; UNSUPPORTED and INVALID_ARGUMENT
// for their dtypes.
Operands operands_of(const char* op, const char* first, const Tensor& a, const char* second, const Tensor& b);

}  // namespace groupconv
