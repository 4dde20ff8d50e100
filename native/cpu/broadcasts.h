// The native tests' cases of operands that are broadcast (core/broadcast.h), for the doors of operators that
// take them.
#pragma once
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "core/broadcast.h"
#include "cpu/everywhere.h"
#include "cpu/stream.h"

namespace groupconv::test {

// x and values: of one shape, and for every channel, in each image or in all; plain and blocked layouts,
// pads, few channels.
inline const std::vector<std::pair<Shape, Shape>>& broadcast_shapes() {
  static const std::vector<std::pair<Shape, Shape>> shapes = {
      {{2, 21, 3, 5}, {2, 21, 3, 5}},
      {{2, 3, 4, 5}, {2, 3, 4, 5}},
      {{7, 9}, {7, 9}},
      {{5}, {5}},
      {{}, {}},
      {{70, 130}, {70, 130}},
      {{2, 21, 3, 5}, {2, 21, 1, 1}},
      {{2, 21, 3, 5}, {1, 21, 1, 1}},
      {{3, 3, 70, 71}, {3, 3, 1, 1}},
      {{3, 3, 70, 71}, {1, 3, 1, 1}},
      {{1, 16, 31, 30}, {1, 16, 1, 1}},
      {{4, 40, 1, 1}, {1, 40, 1, 1}},
      {{3, 1, 1, 9}, {1, 1, 1, 1}},
      {{2, 33, 20, 40}, {2, 33, 1, 1}},
  };
  return shapes;
}

// The element of the values that meets element i of x, both row-major.
inline size_t value_at(const Shape& x, const Shape& values, size_t i) {
  if (values == x) return i;
  const auto pixels = static_cast<size_t>(x[2] * x[3]), channels = static_cast<size_t>(x[1]);
  const size_t channel = i / pixels % channels, image = values[0] == 1 ? 0 : i / (pixels * channels);
  return image * channels + channel;
}

// One case: `run` gives a result of x's shape and of two tensors on a stream, in any order and layouts;
// `expected` that of their elements.
struct BroadcastCase {
  std::function<TensorPtr(const Tensor& a, const Tensor& b)> run;
  std::function<double(float x, float value)> expected;
};

// On every instruction set, thread count and solver of an operator whose door takes both orders of its
// arguments.
inline void check_broadcasts(AnyRegistry& registry, const std::string& what, const BroadcastCase& c) {
  for (const auto& [x_shape, value_shape] : broadcast_shapes()) {
    const std::vector<float> x = hashed_values(1, x_shape.size()),
                             values = hashed_values(2, value_shape.size());
    std::vector<float> expected;
    for (size_t i = 0; i < x.size(); ++i)
      expected.push_back(static_cast<float>(c.expected(x[i], values[value_at(x_shape, value_shape, i)])));
    for (const char* solver : {"", "reference"})
      for (int variant = 0; variant < 8; ++variant)
        check_everywhere(expected, 1e-7, what, [&] {
          registry.force(solver);
          const auto stream = std::make_shared<CpuStream>();
          const TensorPtr a = tensor_of(stream, x_shape, x), b = tensor_of(stream, value_shape, values);
          if (variant & 1) a->in_layout(a->activation_block());
          if (variant & 2) b->in_layout(b->activation_block());
          const TensorPtr y = variant & 4 ? c.run(*b, *a) : c.run(*a, *b);
          CHECK(y->shape() == x_shape);
          const std::vector<float> found = values_of(*y);
          CHECK(same_bits(values_of(*a), x) && same_bits(values_of(*b), values));
          registry.force("");
          return found;
        });
  }
}

}  // namespace groupconv::test
