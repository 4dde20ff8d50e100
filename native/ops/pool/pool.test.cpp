// Every solver on every instruction set and thread count against the reference, and the reference against
// values worked out by hand; then the doors on a stream.
#include "ops/pool/pool.h"

#include <memory>

#include "core/check.h"
#include "cpu/everywhere.h"
#include "cpu/stream.h"

namespace groupconv {
namespace {

using test::check_throws;
using test::Guarded;
using test::hashed_values;
using test::reference_of;
using test::tensor_of;
using test::values_of;
using Values = std::vector<float>;

struct Case {
  PoolProblem problem;
  Values x;
};

Values run(const PoolSolver& solver, PoolProblem p, const Values& x, const Values& y, int threads,
           const std::string& note) {
  const Shape x_shape{p.n, p.c, p.h, p.w}, y_shape{p.n, p.c, p.p, p.q};
  Guarded gx(x_shape, x, p.block), gdy(y_shape, hashed_values(3, y_shape.size()), p.block);
  Guarded gy = p.backward ? Guarded(y_shape, y, p.block) : Guarded(y_shape, p.block);
  Guarded gdx =
      p.accumulate ? Guarded(x_shape, hashed_values(4, x_shape.size()), p.block) : Guarded(x_shape, p.block);
  PoolBuffers b{};
  if (!p.backward || p.kind == PoolKind::Max) b.x = gx.data(), b.y = gy.data();
  b.dy = gdy.data(), b.dx = gdx.data();
  solver.run(p, b, CpuContext(threads));
  CHECK_NOTE(gx.intact() && gy.intact() && gdy.intact() && gdx.intact(), "guards of " + note);
  CHECK_NOTE(p.backward ? gdx.pad_lanes_zero(x_shape, p.block) : gy.pad_lanes_zero(y_shape, p.block),
             "pad lanes of " + note);
  return p.backward ? gdx.plain(x_shape, p.block) : gy.plain(y_shape, p.block);
}

void check_problem(PoolProblem p, const Values& x) {
  p.block = 1;
  p.backward = p.accumulate = false;
  const Values y = run(reference_of(pool_registry(), p), p, x, {}, 1, "reference");
  for (int pass = 0; pass < 3; ++pass) {
    p.backward = pass > 0, p.accumulate = pass > 1;
    p.block = 1;
    const Values expected = run(reference_of(pool_registry(), p), p, x, y, 1, "reference");
    for (Isa isa : available_isas()) {
      force_isa(isa);
      p.block = simd_width(isa);
      test::check_solvers(
          pool_registry(), p, isa,
          [&](const PoolSolver& solver, int threads, const std::string& note) {
            return run(solver, p, x, y, threads, note);
          },
          [&](const Values& actual, const std::string& note) {
            if (p.kind == PoolKind::Max && !p.backward) CHECK_NOTE(test::same_bits(actual, expected), note);
            CHECK_NOTE(test::relative_error(actual, expected) <= 1e-6, note);
          });
    }
  }
}

PoolProblem problem(PoolKind kind, const Shape& x, int kh, int kw, int sh, int sw, int ph, int pw,
                    bool count_include_pad = true) {
  PoolProblem p{};
  p.kind = kind;
  p.n = x[0], p.c = x[1], p.h = x[2], p.w = x[3];
  p.kernel_h = kh, p.kernel_w = kw, p.stride_h = sh, p.stride_w = sw, p.pad_top = ph, p.pad_left = pw;
  p.count_include_pad = count_include_pad;
  p.p = (p.h + 2 * ph - kh) / sh + 1, p.q = (p.w + 2 * pw - kw) / sw + 1;
  return p;
}

void check_solvers() {
  struct Window {
    Shape x;
    int kh, kw, sh, sw, ph, pw;
  };
  const Window windows[] = {{{2, 5, 9, 9}, 3, 3, 2, 2, 1, 1},  {{1, 16, 14, 13}, 3, 3, 2, 2, 1, 1},
                            {{1, 33, 8, 7}, 3, 3, 2, 2, 1, 1}, {{2, 3, 1, 1}, 3, 3, 2, 2, 1, 1},
                            {{1, 7, 6, 5}, 3, 3, 2, 2, 0, 0},  {{1, 16, 8, 8}, 2, 2, 2, 2, 0, 0},
                            {{2, 7, 7, 9}, 2, 2, 2, 2, 0, 0},  {{1, 13, 8, 7}, 3, 2, 2, 1, 1, 0},
                            {{1, 6, 7, 8}, 3, 3, 1, 1, 1, 1},  {{2, 4, 11, 10}, 5, 5, 3, 3, 2, 2},
                            {{1, 5, 9, 8}, 2, 2, 3, 3, 0, 0},  {{1, 5, 2, 2}, 1, 1, 1, 1, 0, 0},
                            {{1, 9, 3, 2}, 3, 3, 2, 2, 1, 1},  {{3, 17, 2, 30}, 2, 7, 1, 2, 1, 3}};
  for (const Window& v : windows) {
    Values x = hashed_values(1, v.x.size());
    check_problem(problem(PoolKind::Max, v.x, v.kh, v.kw, v.sh, v.sw, v.ph, v.pw), x);
    for (bool count : {true, false})
      check_problem(problem(PoolKind::Avg, v.x, v.kh, v.kw, v.sh, v.sw, v.ph, v.pw, count), x);
    for (float& value : x) value = std::floor(value * 2);  // many ties, all zero or negative half of the time
    check_problem(problem(PoolKind::Max, v.x, v.kh, v.kw, v.sh, v.sw, v.ph, v.pw), x);
  }
  const std::pair<Shape, std::pair<int, int>> adaptive[] = {
      {{2, 5, 7, 7}, {1, 1}}, {{2, 33, 4, 4}, {1, 1}},  {{1, 16, 9, 5}, {1, 1}}, {{2, 7, 1, 1}, {1, 1}},
      {{2, 5, 7, 5}, {3, 2}}, {{1, 16, 10, 7}, {4, 4}}, {{1, 3, 8, 8}, {2, 4}},  {{1, 4, 3, 4}, {5, 5}},
      {{1, 9, 7, 7}, {7, 7}}, {{1, 5, 40, 41}, {1, 1}}};
  for (const auto& [x, output] : adaptive) {
    PoolProblem p{};
    p.kind = PoolKind::AdaptiveAvg;
    p.n = x[0], p.c = x[1], p.h = x[2], p.w = x[3], p.p = output.first, p.q = output.second;
    check_problem(p, hashed_values(1, x.size()));
  }
}

// Six equal channels, so that the device's layout is in play where it blocks channels.
Values repeated(const Values& plane, int channels) {
  Values all;
  for (int i = 0; i < channels; ++i) all.insert(all.end(), plane.begin(), plane.end());
  return all;
}

void check_doors() {
  const auto stream = std::make_shared<CpuStream>();
  for (int channels : {1, 6}) {
    const auto of = [&](int64_t h, int64_t w, const Values& plane) {
      return tensor_of(stream, {1, channels, h, w}, repeated(plane, channels));
    };
    const auto is = [&](const Tensor& tensor, const Values& plane) {
      const Values actual = values_of(tensor), expected = repeated(plane, channels);
      bool same = actual.size() == expected.size();
      for (size_t i = 0; same && i < actual.size(); ++i)
        same = std::isnan(expected[i]) ? std::isnan(actual[i]) : actual[i] == expected[i];
      return same;
    };
    // Ties give to the first, a NaN takes all, -inf is found.
    const PoolGeometry halves{{2, 2}, {2, 2}, {0, 0, 0, 0}};
    const TensorPtr x = of(2, 6, {1, 3, 5, NAN, -INFINITY, -INFINITY, 3, 3, 9, 9, -INFINITY, -INFINITY});
    const TensorPtr y = max_pool2d(*x, halves), dy = of(1, 3, {10, 20, 30});
    CHECK(is(*y, {3, NAN, -INFINITY}));
    Tensor dx(stream, x->shape(), DType::Float32);
    max_pool2d_grad(*x, *y, *dy, halves, dx, GradMode::Overwrite);
    CHECK(is(dx, {0, 10, 0, 20, 30, 0, 0, 0, 0, 0, 0, 0}));
    max_pool2d_grad(*x, *y, *dy, halves, dx, GradMode::Accumulate);
    CHECK(is(dx, {0, 20, 0, 40, 60, 0, 0, 0, 0, 0, 0, 0}));
    // Four-sided padding: [0, 1, 1, 0] at stride 2 on 2 x 2 is one window, its right and bottom outside.
    const PoolGeometry sided{{3, 3}, {2, 2}, {0, 1, 1, 0}};
    const TensorPtr small = of(2, 2, {-1, -2, -3, -4});
    CHECK(is(*max_pool2d(*small, sided), {-1}));
    CHECK(is(*avg_pool2d(*small, sided, false), {-2.5f}));
    CHECK(is(*avg_pool2d(*small, sided, true), {-10.0f / 9}));
    CHECK(is(*adaptive_avg_pool2d(*small, 1, 1), {-2.5f}));
    const TensorPtr one = of(1, 1, {4});
    Tensor dsmall(stream, small->shape(), DType::Float32);
    adaptive_avg_pool2d_grad(*one, dsmall, GradMode::Overwrite);
    CHECK(is(dsmall, {1, 1, 1, 1}));
    avg_pool2d_grad(*one, sided, false, dsmall, GradMode::Accumulate);
    CHECK(is(dsmall, {2, 2, 2, 2}));

    check_throws(ErrorCode::InvalidArgument,
                 "maxPool2d: padding is at least 0 and at most half the kernel 2, found 2", [&] {
                   max_pool2d(*x, {{2, 2}, {2, 2}, {2, 0, 0, 0}});
                 });
    check_throws(ErrorCode::InvalidArgument, "avgPool2d: kernelSize and stride are at least 1", [&] {
      avg_pool2d(*x, {{2, 2}, {2, 0}, {0, 0, 0, 0}}, true);
    });
    check_throws(ErrorCode::InvalidShape, "kernel 3 is larger than x's height 2 with its padding, 2", [&] {
      max_pool2d(*x, {{3, 3}, {2, 2}, {0, 0, 0, 0}});
    });
    check_throws(ErrorCode::InvalidArgument, "outputSize is at least 1",
                 [&] { adaptive_avg_pool2d(*x, 0, 1); });
    check_throws(ErrorCode::InvalidShape, "dy",
                 [&] { max_pool2d_grad(*x, *y, *x, halves, dx, GradMode::Overwrite); });
  }
  const TensorPtr flat = tensor_of(stream, {2, 3}, Values(6, 1));
  check_throws(ErrorCode::InvalidShape, "four dimensions", [&] { adaptive_avg_pool2d(*flat, 1, 1); });
  const Tensor integers(stream, {1, 8, 2, 2}, DType::Int32);
  check_throws(ErrorCode::Unsupported, "x is int32", [&] { adaptive_avg_pool2d(integers, 1, 1); });
}

}  // namespace
}  // namespace groupconv

int main() {
  groupconv::check_solvers();
  groupconv::check_doors();
  return groupconv::test::report();
}
