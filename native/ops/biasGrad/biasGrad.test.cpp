// Every solver on every instruction set and thread count against the float64 reference; then the door.
#include "ops/biasGrad/biasGrad.h"

#include <memory>

#include "core/check.h"
#include "cpu/everywhere.h"
#include "cpu/stream.h"

namespace groupconv {
namespace {

using test::Guarded;
using test::hashed_values;
using Values = std::vector<float>;

void check_shape(const Shape& shape, bool accumulate, float offset) {
  Values dy = hashed_values(1, shape.size());
  for (float& v : dy) v += offset;
  const Values before = hashed_values(2, shape[1]);
  Values expected;
  for (int64_t c = 0; c < shape[1]; ++c) {
    const int64_t pixels = shape[2] * shape[3];
    double sum = accumulate ? before[c] : 0;
    for (int64_t n = 0; n < shape[0]; ++n)
      for (int64_t i = 0; i < pixels; ++i) sum += dy[(n * shape[1] + c) * pixels + i];
    expected.push_back(static_cast<float>(sum));
  }
  for (Isa isa : available_isas()) {
    force_isa(isa);
    for (int block : {1, simd_width(isa)}) {
      const BiasGradProblem p{DType::Float32, shape[0], shape[1], shape[2] * shape[3], block, accumulate};
      test::check_solvers(
          bias_grad_registry(), p, isa,
          [&](const BiasGradSolver& solver, int threads, const std::string& note) {
            Guarded x(shape, dy, block), dbias(accumulate ? before : Values(before.size(), NAN));
            Guarded workspace(solver.workspace_bytes ? solver.workspace_bytes(p) / 4 : 0);
            solver.run(p, {x.data(), dbias.data(), workspace.data()}, CpuContext(threads));
            CHECK_NOTE(x.intact() && dbias.intact() && workspace.intact(), "guards of " + note);
            return dbias.values();
          },
          [&](const Values& actual, const std::string& note) {
            CHECK_NOTE(test::relative_error(actual, expected) <= 1e-6, note);
          });
    }
  }
}

void check_door() {
  const auto stream = std::make_shared<CpuStream>();
  const TensorPtr dy = test::tensor_of(stream, {2, 3}, {1, 2, 3, 4, 5, 6}),
                  dbias = make_tensor(stream, {3}, DType::Float32),
                  two = make_tensor(stream, {2}, DType::Float32);
  bias_grad(*dy, *dbias, GradMode::Overwrite);
  bias_grad(*dy, *dbias, GradMode::Accumulate);
  const float* sums = dbias->in_layout(1);
  stream->synchronize();
  CHECK(sums[0] == 10 && sums[1] == 14 && sums[2] == 18);
  test::check_throws(ErrorCode::InvalidShape, "", [&] { bias_grad(*dy, *two, GradMode::Overwrite); });
  test::check_throws(ErrorCode::InvalidShape, "", [&] { bias_grad(*dbias, *dbias, GradMode::Overwrite); });
  const Tensor integers(stream, {2, 3}, DType::Int32);
  test::check_throws(ErrorCode::Unsupported, "", [&] { bias_grad(integers, *dbias, GradMode::Overwrite); });
}

}  // namespace
}  // namespace groupconv

int main() {
  using groupconv::Shape;
  for (const Shape& shape : {Shape{2, 8, 7, 7}, Shape{3, 5, 4, 6}, Shape{4, 13, 1, 1}, Shape{300, 33, 1, 1},
                             Shape{2, 17, 3, 5}, Shape{1, 3, 50, 41}, Shape{1, 20, 40, 41},
                             Shape{20, 16, 2, 3}, Shape{1, 1, 1, 1}, Shape{2, 1000, 1, 1}})
    for (bool accumulate : {false, true}) {
      groupconv::check_shape(shape, accumulate, 0.5f);
      groupconv::check_shape(shape, accumulate, 1000);
    }
  groupconv::check_door();
  return groupconv::test::report();
}
