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

void check_generated(const test::Place& cuda, int64_t size, uint64_t offset, const std::string& order) {
  CHECK_NOTE(test::same_bits(generated(cuda, false, size, offset), generated(kCpu, false, size, offset)),
             "uniform " + order);
  const test::Values actual = generated(cuda, true, size, offset),
                     expected = generated(kCpu, true, size, offset);
  for (size_t i = 0; i < actual.size(); ++i)
    CHECK_NOTE(std::fabs(actual[i] - expected[i]) <= 2e-7f * std::fabs(expected[i]), "normal " + order);
}

void check_dropout(const test::Place& on, const Shape& shape, uint64_t offset, const std::string& order) {
  const test::Values dropped_here = dropped({kCpu.stream, on.dtype}, shape, false, offset),
                     expected = test::download(*on.activation(shape, dropped_here));  // rounded to the dtype
  for (const bool as_activation : {false, true})
    CHECK_NOTE(dropped(on, shape, as_activation, offset) == expected,
               std::string("dropout ") + name_of(on.dtype) + ' ' + order);
}

// body(name of the order)
template <class Body>
void check(const Body& body) {
  test::prove("random, philox", [&] { test::for_thread_orders(body); });
}

// Memory is the host's, where mistakes are made.
const RandomPosition* truncated(const RandomPosition& position) {
  static RandomPosition short_one;
  short_one = position;
  short_one.offset[1] = 0;
  return &short_one;
}

}  // namespace
}  // namespace groupconv

static void tests() {
  using namespace groupconv;
  test::must_notice(random_registry(), "philox", "stride launch block thread",
                    {{"the ends change places", [](auto& p, auto&) { std::swap(p.a, p.b); }},
                     {"the last pixel is left out", [](auto& p, auto&) { --p.pixels; }},
                     {"the last image is left out", [](auto& p, auto&) { --p.n; }},
                     {"positions in memory's order", [](auto& p, auto&) { p.pixels *= p.c, p.c = 1; }},
                     {"what is kept is not scaled", [](auto& p, auto&) { p.b = 1; }},
                     {"32 bits of the offset", [](auto&, auto& b) { b.position = truncated(*b.position); }}});
  for (const uint64_t offset : {uint64_t{0}, uint64_t{3}, (uint64_t{1} << 34) - 5}) {
    for (const int64_t size : {1, 6, 1003, 20003})
      check([&](const char* order) {
        check_generated({test::cuda_stream(), DType::Float32}, size, offset, order);
      });
    for (const DType dtype : test::kDTypes)
      for (const Shape& shape : {Shape{2, 19, 5, 3}, Shape{1, 8, 4, 4}, Shape{7, 13}, Shape{1, 40, 41, 11}})
        check([&](const char* order) { check_dropout({test::cuda_stream(), dtype}, shape, offset, order); });
  }
  CHECK(test::cuda_stream()->intact());
}

int main() { return groupconv::test::on_a_device(tests); }
