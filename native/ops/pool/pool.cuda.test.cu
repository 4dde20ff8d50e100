// The CUDA solver against the CPU's reference, through the doors; ties and NaN.
#include "cuda/testing.h"
#include "ops/pool/pool.h"

namespace groupconv {
namespace {

struct Window {
  Shape x;
  PoolGeometry geometry;  // kernel, stride, padding (top, right, bottom, left)
};

test::Values values_of_kind(const Shape& shape, bool ties) {
  test::Values values = test::hashed_values(1, static_cast<size_t>(shape.size()));
  if (ties)
    for (float& value : values) value = std::floor(value * 2);
  return values;
}

void check_max(const Window& window, DType dtype, bool ties, GradMode mode) {
  test::check_on_cuda(pool_registry(), dtype, test::rounding(dtype), "max", [&](const test::Place& on) {
    const TensorPtr x = on.activation(window.x, values_of_kind(window.x, ties));
    const TensorPtr y = max_pool2d(*x, window.geometry);
    const TensorPtr dx = mode == GradMode::Overwrite ? on.target(window.x) : on.activation(window.x, 4);
    max_pool2d_grad(*x, *y, *on.activation(y->shape(), 3), window.geometry, *dx, mode);
    return test::Tensors{y, dx};
  });
}

void check_avg(const Window& window, DType dtype, bool count_include_pad, GradMode mode) {
  test::check_on_cuda(pool_registry(), dtype, test::rounding(dtype), "avg", [&](const test::Place& on) {
    const TensorPtr y = avg_pool2d(*on.activation(window.x, 1), window.geometry, count_include_pad);
    const TensorPtr dx = mode == GradMode::Overwrite ? on.target(window.x) : on.activation(window.x, 4);
    avg_pool2d_grad(*on.activation(y->shape(), 3), window.geometry, count_include_pad, *dx, mode);
    return test::Tensors{y, dx};
  });
}

void check_adaptive(const Shape& shape, int64_t out_h, int64_t out_w, DType dtype, GradMode mode) {
  test::check_on_cuda(pool_registry(), dtype, test::rounding(dtype), "adaptive", [&](const test::Place& on) {
    const TensorPtr y = adaptive_avg_pool2d(*on.activation(shape, 1), out_h, out_w);
    const TensorPtr dx = mode == GradMode::Overwrite ? on.target(shape) : on.activation(shape, 4);
    adaptive_avg_pool2d_grad(*on.activation(y->shape(), 3), *dx, mode);
    return test::Tensors{y, dx};
  });
}

// Ties give to the first, a NaN takes all, -infinity is found.
void check_by_hand() {
  const test::Place cuda{test::cuda_stream(), DType::Float32};
  const PoolGeometry halves{{2, 2}, {2, 2}, {0, 0, 0, 0}};
  const TensorPtr x =
      cuda.activation({1, 1, 2, 6}, {1, 3, 5, NAN, -INFINITY, -INFINITY, 3, 3, 9, 9, -INFINITY, -INFINITY});
  const TensorPtr y = max_pool2d(*x, halves), dx = cuda.target(x->shape());
  max_pool2d_grad(*x, *y, *cuda.activation(y->shape(), {10, 20, 30}), halves, *dx, GradMode::Overwrite);
  const test::Values tops = test::download(*y);
  CHECK(tops[0] == 3 && std::isnan(tops[1]) && tops[2] == -INFINITY);
  CHECK(test::download(*dx) == test::Values{0, 10, 0, 20, 30, 0, 0, 0, 0, 0, 0, 0});
}

}  // namespace
}  // namespace groupconv

int main() {
  using namespace groupconv;
  const Window windows[] = {
      {{2, 5, 9, 9}, {{3, 3}, {2, 2}, {1, 1, 1, 1}}},   {{1, 16, 14, 13}, {{3, 3}, {2, 2}, {1, 1, 1, 1}}},
      {{2, 3, 1, 1}, {{3, 3}, {2, 2}, {1, 1, 1, 1}}},   {{1, 7, 6, 5}, {{3, 3}, {2, 2}, {0, 0, 0, 0}}},
      {{1, 16, 8, 8}, {{2, 2}, {2, 2}, {0, 0, 0, 0}}},  {{1, 13, 8, 7}, {{3, 2}, {2, 1}, {1, 0, 1, 0}}},
      {{1, 8, 7, 8}, {{3, 3}, {1, 1}, {1, 1, 1, 1}}},   {{2, 4, 11, 10}, {{5, 5}, {3, 3}, {2, 2, 2, 2}}},
      {{1, 5, 9, 8}, {{2, 2}, {3, 3}, {0, 0, 0, 0}}},   {{1, 5, 2, 2}, {{1, 1}, {1, 1}, {0, 0, 0, 0}}},
      {{3, 24, 2, 30}, {{2, 7}, {1, 2}, {1, 3, 1, 2}}}, {{1, 8, 9, 9}, {{3, 3}, {2, 2}, {0, 1, 1, 0}}}};
  for (const DType dtype : test::kDTypes)
    for (const GradMode mode : {GradMode::Overwrite, GradMode::Accumulate}) {
      for (const Window& window : windows)
        for (const bool variant : {false, true}) {
          check_max(window, dtype, variant, mode);
          check_avg(window, dtype, variant, mode);
        }
      check_adaptive({2, 5, 7, 7}, 1, 1, dtype, mode);
      check_adaptive({2, 32, 4, 4}, 1, 1, dtype, mode);
      check_adaptive({2, 5, 7, 5}, 3, 2, dtype, mode);
      check_adaptive({1, 16, 10, 7}, 4, 4, dtype, mode);
      check_adaptive({1, 4, 3, 4}, 5, 5, dtype, mode);
      check_adaptive({1, 9, 7, 7}, 7, 7, dtype, mode);
    }
  test::for_thread_orders([](const char*) { check_by_hand(); });
  return test::report();
}
