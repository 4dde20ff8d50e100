// The CUDA solver against the CPU's reference, through the doors; ties and NaN. Kernels with a flaw must be
// noticed.
#include "cuda/testing.h"
#include "ops/pool/pool.kernels.cuda.h"

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

// The gradient of max that kernels with a flaw give, or those without.
template <cuda::pool::Flaw kFlaw>
double error_of_max_grad() {
  const Window window{{1, 16, 14, 13}, {{3, 3}, {2, 2}, {1, 1, 1, 1}}};
  const auto values = [&] { return values_of_kind(window.x, true); };
  const test::Place cpu{test::cpu_stream(), DType::BFloat16}, cuda{test::cuda_stream(), DType::BFloat16};
  const TensorPtr x = cpu.activation(window.x, values()), y = max_pool2d(*x, window.geometry),
                  expected = cpu.target(window.x);
  max_pool2d_grad(*x, *y, *cpu.activation(y->shape(), 3), window.geometry, *expected, GradMode::Overwrite);

  PoolProblem p{};
  p.kind = PoolKind::Max, p.dtype = DType::BFloat16, p.backward = true;
  p.n = 1, p.c = p.block = 16, p.h = 14, p.w = 13, p.p = y->shape()[2], p.q = y->shape()[3];
  p.kernel_h = p.kernel_w = 3, p.stride_h = p.stride_w = 2, p.pad_top = p.pad_left = 1;
  const TensorPtr on_device = cuda.activation(window.x, values()), dy = cuda.activation(y->shape(), 3),
                  dx = cuda.target(window.x), places = cuda.target(y->shape());
  PoolBuffers b{};
  b.x = on_device->in_layout(p.block), b.dy = dy->in_layout(p.block), b.dx = dx->target_in_layout(p.block);
  b.workspace = places->target_in_layout(p.block);
  cuda.stream->submit([=](const ExecutionContext& context) { cuda::pool::run<kFlaw>(p, b, context); });
  return test::relative_error(test::download(*dx), test::download(*expected));
}
void check_flaws() {
  using cuda::pool::Flaw;
  const double tolerance = test::rounding(DType::BFloat16);
  CHECK(error_of_max_grad<Flaw::None>() <= tolerance);
  CHECK(error_of_max_grad<Flaw::LastMaximum>() > tolerance);
  CHECK(error_of_max_grad<Flaw::ClippedPlace>() > tolerance);
}

}  // namespace
}  // namespace groupconv

static void tests() {
  using namespace groupconv;
  test::must_notice(
      pool_registry(), "gather", "stride launch block thread",
      {{"the last column of windows is left out", [](auto& p, auto&) { --p.kernel_w; }},
       {"the last row of windows is left out", [](auto& p, auto&) { --p.kernel_h; }},
       {"rows move on by one", [](auto& p, auto&) { p.stride_h = 1; }},
       {"no padding above", [](auto& p, auto&) { p.pad_top = 0; }},
       {"no padding before", [](auto& p, auto&) { p.pad_left = 0; }},
       {"padding counts, or not", [](auto& p, auto&) { p.count_include_pad = !p.count_include_pad; }},
       {"added to what was there", [](auto& p, auto&) { p.accumulate = true; }},
       {"not added to what was there", [](auto& p, auto&) { p.accumulate = false; }}});
  const Window windows[] = {
      {{2, 13, 20, 21}, {{2, 3}, {1, 1}, {0, 1, 0, 1}}}, {{2, 5, 9, 9}, {{3, 3}, {2, 2}, {1, 1, 1, 1}}},
      {{1, 16, 14, 13}, {{3, 3}, {2, 2}, {1, 1, 1, 1}}}, {{2, 3, 1, 1}, {{3, 3}, {2, 2}, {1, 1, 1, 1}}},
      {{1, 7, 6, 5}, {{3, 3}, {2, 2}, {0, 0, 0, 0}}},    {{1, 16, 8, 8}, {{2, 2}, {2, 2}, {0, 0, 0, 0}}},
      {{1, 13, 8, 7}, {{3, 2}, {2, 1}, {1, 0, 1, 0}}},   {{1, 8, 7, 8}, {{3, 3}, {1, 1}, {1, 1, 1, 1}}},
      {{2, 4, 11, 10}, {{5, 5}, {3, 3}, {2, 2, 2, 2}}},  {{1, 5, 9, 8}, {{2, 2}, {3, 3}, {0, 0, 0, 0}}},
      {{1, 5, 2, 2}, {{1, 1}, {1, 1}, {0, 0, 0, 0}}},    {{3, 24, 2, 30}, {{2, 7}, {1, 2}, {1, 3, 1, 2}}},
      {{1, 8, 9, 9}, {{3, 3}, {2, 2}, {0, 1, 1, 0}}},    {{1, 8, 20, 18}, {{17, 16}, {2, 3}, {3, 2, 1, 4}}}};
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
  check_flaws();
}

int main() { return groupconv::test::on_a_device(tests); }
