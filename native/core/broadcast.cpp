#include "core/broadcast.h"

namespace groupconv {
namespace {

Broadcast broadcast_in(const Shape& x, const Shape& values, int block) {
  if (values == x) return {1, 1, 1, Tensor::physical_size(x, block)};
  const int64_t blocks = (x[1] + block - 1) / block, pixels = x[2] * x[3];
  if (values[0] == 1) return {x[0], blocks, pixels, block};
  return {1, x[0] * blocks, pixels, block};
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Broadcast& b) {
  return out << b.n << 'x' << b.blocks << 'x' << b.pixels << 'x' << b.lanes;
}

bool are_channel_values(const Shape& values, const Shape& x) {
  return x.rank() == 4 && values.rank() == 4 && (values[0] == 1 || values[0] == x[0]) && values[1] == x[1] &&
         values[2] * values[3] == 1;
}

Operands operands_of(const char* op, const char* first, const Tensor& a, const char* second,
                     const Tensor& b) {
  const bool is_plain = a.shape() == b.shape(), spreads_a = are_channel_values(a.shape(), b.shape());
  require(is_plain || spreads_a || are_channel_values(b.shape(), a.shape()), ErrorCode::InvalidShape, op,
          ": ", first, " ", a.shape(), " and ", second, " ", b.shape(),
          " must have equal shapes, or one be [N, C, 1, 1] or [1, C, 1, 1] beside [N, C, H, W]");
  require_computable(op, first, a);
  require_same_dtype(op, second, b, a.dtype());
  const Tensor &x = spreads_a && !is_plain ? b : a, &values = &x == &a ? b : a;
  const int block = is_plain && a.block() == b.block() ? a.block() : x.activation_block();
  return {&x, &values, block, broadcast_in(x.shape(), values.shape(), block)};
}

}  // namespace groupconv
