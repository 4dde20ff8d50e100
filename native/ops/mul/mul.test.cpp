// Every solver through the doors, on every instruction set and thread count, against products in float64.
#include "ops/mul/mul.h"

#include "cpu/broadcasts.h"

namespace groupconv {
namespace {

void check_values() {
  const auto product = [](float x, float value) { return double{x} * value; };
  test::check_broadcasts(mul_registry(), "mul", {mul, product});
  // The gradient of the larger factor, added to itself.
  const auto twice = [](const Tensor& a, const Tensor& b) -> TensorPtr {
    const bool swapped = a.size() < b.size();
    const Tensor &dy = swapped ? b : a, &other = swapped ? a : b;
    const auto dx = std::make_shared<Tensor>(dy.shared_stream(), dy.shape(), DType::Float32);
    mul_grad(dy, other, *dx, GradMode::Overwrite);
    mul_grad(dy, other, *dx, GradMode::Accumulate);
    return dx;
  };
  test::check_broadcasts(mul_registry(), "mulGrad",
                         {twice, [&](float x, float value) { return 2 * product(x, value); }});
}

void check_pad_lanes() {
  const auto stream = std::make_shared<CpuStream>();
  const TensorPtr x = test::tensor_of(stream, {2, 21, 3, 5}, test::hashed_values(1, 630)),
                  scale = test::tensor_of(stream, {2, 21, 1, 1}, test::hashed_values(2, 42));
  const TensorPtr y = mul(*x, *scale);
  const int block = x->activation_block();
  const float* const memory = y->in_layout(block);
  stream->synchronize();
  CHECK(test::Guarded(std::vector<float>(memory, memory + y->physical_size()))
            .pad_lanes_zero(y->shape(), block));
}

void check_errors() {
  const auto stream = std::make_shared<CpuStream>();
  const auto tensor = [&](const Shape& shape, DType dtype = DType::Float32) {
    return make_tensor(stream, shape, dtype);
  };
  const TensorPtr x = tensor({2, 4, 3, 3}), scale = tensor({2, 4, 1, 1}), other = tensor({2, 5, 1, 1});
  test::check_throws(ErrorCode::InvalidShape, "mul: a [2, 4, 3, 3] and b [2, 5, 1, 1] must have equal shapes",
                     [&] { mul(*x, *other); });
  // torch.mul would spread both.
  test::check_throws(ErrorCode::InvalidShape, "", [&] { mul(*scale, *tensor({1, 4, 3, 3})); });
  test::check_throws(ErrorCode::Unsupported, "mul: a is int32",
                     [&] { mul(*tensor({2}, DType::Int32), *tensor({2}, DType::Int32)); });
  test::check_throws(ErrorCode::InvalidArgument, "mul: b is int32 beside float32",
                     [&] { mul(*tensor({2}), *tensor({2}, DType::Int32)); });
  test::check_throws(ErrorCode::InvalidShape, "mulGrad: dx",
                     [&] { mul_grad(*x, *scale, *scale, GradMode::Overwrite); });
  test::check_throws(ErrorCode::InvalidShape, "mulGrad: dy [2, 4, 1, 1] for other [2, 4, 3, 3]",
                     [&] { mul_grad(*scale, *x, *scale, GradMode::Overwrite); });
}

}  // namespace
}  // namespace groupconv

int main() {
  groupconv::check_values();
  groupconv::check_pad_lanes();
  groupconv::check_errors();
  return groupconv::test::report();
}
