// The CUDA numbers are the CPU's: bit for bit, and normal ones to a float32's last bits.
#include "cuda/testing.h"
#include "ops/random/random.h"

namespace groupconv {
namespace {

const test::Place kCpu{test::cpu_stream(), DType::Float32};

TensorPtr position(const test::Place& on, uint64_t seed, uint64_t offset) {
  const auto word = [](uint64_t value) { return static_cast<int32_t>(static_cast<uint32_t>(value)); };
  return on.integers({4}, {word(seed), word(seed >> 32), word(offset), word(offset >> 32)});
}

test::Values generated(const test::Place& on, bool normal, int64_t size, uint64_t offset) {
  const TensorPtr target = on.parameter_target({size});
  if (normal)
    random_normal(*target, *position(on, 42, offset), 2, 3);
  else
    random_uniform(*target, *position(on, 42, offset), -2, 5);
  return test::download(*target);
}

test::Values dropped(const test::Place& on, const Shape& shape, bool as_activation, uint64_t offset) {
  const TensorPtr x = on.activation(shape, 1);
  if (as_activation) x->in_layout(x->activation_block());
  return test::download(*dropout(*x, 0.25f, *position(on, uint64_t{5} << 33 | 7, offset)));
}

void check(const test::Place& cuda, const std::string& order) {
  for (const uint64_t offset : {uint64_t{0}, uint64_t{3}, (uint64_t{1} << 34) - 5}) {
    for (const int64_t size : {1, 6, 1003}) {
      CHECK_NOTE(test::same_bits(generated(cuda, false, size, offset), generated(kCpu, false, size, offset)),
                 "uniform " + order);
      const test::Values actual = generated(cuda, true, size, offset),
                         expected = generated(kCpu, true, size, offset);
      for (int64_t i = 0; i < size; ++i)
        CHECK_NOTE(std::fabs(actual[i] - expected[i]) <= 2e-7f * std::fabs(expected[i]), "normal " + order);
    }
    for (const DType dtype : test::kDTypes)
      for (const Shape& shape : {Shape{2, 19, 5, 3}, Shape{1, 8, 4, 4}, Shape{7, 13}})
        for (const bool as_activation : {false, true}) {
          const test::Place on{cuda.stream, dtype}, host{kCpu.stream, dtype};
          const test::Values actual = dropped(on, shape, as_activation, offset);
          test::Values expected = dropped(host, shape, false, offset);
          expected = test::download(*on.activation(shape, expected));  // rounded to the dtype
          CHECK_NOTE(actual == expected, std::string("dropout ") + name_of(dtype) + ' ' + order);
        }
  }
}

}  // namespace
}  // namespace groupconv

int main() {
  using namespace groupconv;
  const test::Place cuda{test::cuda_stream(), DType::Float32};
  test::for_thread_orders([&](const char* order) { check(cuda, order); });
  CHECK(test::cuda_stream()->intact());
  return test::report();
}
