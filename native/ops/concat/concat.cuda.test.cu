// The CUDA solver against the CPU's reference, through the doors, in every mixture of layouts.
#include "cuda/testing.h"
#include "ops/concat/concat.h"

namespace groupconv {
namespace {

void check(const Shape& shape, int axis, const std::vector<int64_t>& sizes, DType dtype, bool channels_last) {
  test::check_on_cuda(concat_registry(), dtype, test::rounding(dtype), "concat", [&](const test::Place& on) {
    const TensorPtr x = on.activation(shape, 1), sum = on.activation(shape, 2);
    if (channels_last) x->in_layout(x->activation_block()), sum->in_layout(sum->activation_block());
    test::Tensors results;
    std::vector<const Tensor*> parts;
    int64_t begin = 0;
    for (const int64_t size : sizes) {
      const TensorPtr part = slice(*x, axis, begin, size), dx = on.target(shape);
      if (!channels_last) part->in_layout(1);
      slice_grad(*part, axis, begin, *dx, GradMode::Overwrite);
      slice_grad(*part, axis, begin, *sum, GradMode::Accumulate);
      results.push_back(part), results.push_back(dx);
      begin += size;
    }
    for (const TensorPtr& result : results)
      if (!(result->shape() == shape)) parts.push_back(result.get());
    results.push_back(sum), results.push_back(concat(parts, axis));
    return results;
  });
}

void check_integers() {
  const test::Place cuda{test::cuda_stream(), DType::Float32};
  const TensorPtr x = cuda.integers({2, 3}, {1, -2, 3, INT32_MIN, 5, 0x7fc00001});
  const TensorPtr y = concat({x.get(), slice(*x, 1, 1, 2).get()}, 1);
  std::vector<int32_t> values(10);
  cuda.stream->download(*y, values.data());
  cuda.stream->synchronize();
  CHECK(values == std::vector<int32_t>{1, -2, 3, -2, 3, INT32_MIN, 5, 0x7fc00001, 5, 0x7fc00001});
}

}  // namespace
}  // namespace groupconv

static void tests() {
  using namespace groupconv;
  test::must_notice(concat_registry(), "copies", "stride launch block thread",
                    {{"the last of a part is left out", [](auto& p, auto&) { --p.count; }},
                     {"a part is read too early", [](auto& p, auto&) { p.from_begin -= p.from_begin > 0; }},
                     {"a part is written too early", [](auto& p, auto&) { p.to_begin -= p.to_begin > 0; }},
                     {"the rest is not cleared", [](auto& p, auto&) { p.clear = false; }},
                     {"planes are taken for channels", [](auto& p, auto&) { p.from_block = p.to_block = 1; }},
                     {"added to what was there", [](auto& p, auto&) { p.accumulate = true; }},
                     {"not added to what was there", [](auto& p, auto&) { p.accumulate = false; }}});
  for (const DType dtype : test::kDTypes)
    for (const bool channels_last : {true, false}) {
      check({2, 48, 3, 5}, 1, {16, 32}, dtype, channels_last);
      check({2, 37, 3, 5}, 1, {16, 4, 1, 16}, dtype, channels_last);
      check({1, 40, 4, 4}, 1, {32, 8}, dtype, channels_last);
      check({5, 19, 2, 3}, 0, {2, 3}, dtype, channels_last);
      check({2, 19, 7, 3}, 2, {4, 3}, dtype, channels_last);
      check({2, 16, 2, 9}, 3, {1, 8}, dtype, channels_last);
      check({3, 7}, 1, {2, 4, 1}, dtype, channels_last);
      check({4, 2, 5}, 0, {1, 3}, dtype, channels_last);
      check({9}, 0, {4, 5}, dtype, channels_last);
      check({9, 4001}, 1, {2000, 2001}, dtype, channels_last);
      check({2, 16, 30, 31}, 1, {5, 11}, dtype, channels_last);
    }
  check_integers();
}

int main() { return groupconv::test::on_a_device(tests); }
