// Every solver on every instruction set and thread count against the float64 reference; then the doors.
#include "ops/biasGrad/biasGrad.h"

#include "cpu/broadcasts.h"

namespace groupconv {
namespace {

using test::Guarded;
using test::hashed_values;
using Values = std::vector<float>;

void check_shape(const Shape& shape, bool scaled, bool accumulate, float offset) {
  Values dy = hashed_values(1, shape.size()), factors = hashed_values(3, shape.size());
  for (float& v : dy) v += offset;
  for (float& v : factors) v = scaled ? v + 2 : 1;
  const Values before = hashed_values(2, shape[1]);
  Values expected;
  for (int64_t c = 0; c < shape[1]; ++c) {
    const int64_t pixels = shape[2] * shape[3];
    double sum = accumulate ? before[c] : 0;
    for (int64_t n = 0; n < shape[0]; ++n)
      for (int64_t i = (n * shape[1] + c) * pixels; i < (n * shape[1] + c + 1) * pixels; ++i)
        sum += double{dy[i]} * factors[i];
    expected.push_back(static_cast<float>(sum));
  }
  for (Isa isa : available_isas()) {
    force_isa(isa);
    for (int block : {1, simd_width(isa)}) {
      const BiasGradProblem p{DType::Float32,      DType::Float32, shape[0], shape[1],
                              shape[2] * shape[3], block,          scaled,   accumulate};
      test::check_solvers(
          bias_grad_registry(), p, isa,
          [&](const BiasGradSolver& solver, int threads, const std::string& note) {
            Guarded gradient(shape, dy, block), x(shape, factors, block),
                dbias(accumulate ? before : Values(before.size(), NAN));
            Guarded workspace(solver.workspace_bytes ? solver.workspace_bytes(p) / 4 : 0);
            solver.run(p, {gradient.data(), x.data(), dbias.data(), workspace.data()}, CpuContext(threads));
            CHECK_NOTE(x.intact() && dbias.intact() && workspace.intact(), "guards of " + note);
            return dbias.values();
          },
          [&](const Values& actual, const std::string& note) {
            CHECK_NOTE(test::relative_error(actual, expected) <= 1e-6, note);
          });
    }
  }
}

// Gradients of values that were broadcast, of every image's channels or of all images'.
void check_broadcast_values() {
  for (const auto& [shape, grad_shape] : test::broadcast_shapes()) {
    if (grad_shape == shape) continue;
    const Values dy = hashed_values(1, shape.size()), x = hashed_values(2, shape.size());
    std::vector<double> dbias(static_cast<size_t>(grad_shape.size())), dscale = dbias;
    for (size_t i = 0; i < dy.size(); ++i) {
      dbias[test::value_at(shape, grad_shape, i)] += 2 * double{dy[i]};
      dscale[test::value_at(shape, grad_shape, i)] += 2 * double{dy[i]} * x[i];
    }
    Values expected(dbias.begin(), dbias.end());
    expected.insert(expected.end(), dscale.begin(), dscale.end());
    for (const char* solver : {"", "reference"})
      test::check_everywhere(expected, 1e-6, "broadcast", [&] {
        bias_grad_registry().force(solver);
        const auto stream = std::make_shared<CpuStream>();
        const TensorPtr gradient = test::tensor_of(stream, shape, dy),
                        image = test::tensor_of(stream, shape, x);
        const auto target = [&] { return std::make_shared<Tensor>(stream, grad_shape, DType::Float32); };
        const TensorPtr bias = target(), scale = target();
        for (const GradMode mode : {GradMode::Overwrite, GradMode::Accumulate}) {
          bias_grad(*gradient, *bias, mode);
          scale_grad(*gradient, *image, *scale, mode);
        }
        bias_grad_registry().force("");
        return test::values_of({bias, scale});
      });
  }
}

void check_doors() {
  const auto stream = std::make_shared<CpuStream>();
  const TensorPtr dy = test::tensor_of(stream, {2, 3}, {1, 2, 3, 4, 5, 6}),
                  dbias = make_tensor(stream, {3}, DType::Float32),
                  two = make_tensor(stream, {2}, DType::Float32);
  bias_grad(*dy, *dbias, GradMode::Overwrite);
  bias_grad(*dy, *dbias, GradMode::Accumulate);
  const float* sums = dbias->in_layout(1);
  stream->synchronize();
  CHECK(sums[0] == 10 && sums[1] == 14 && sums[2] == 18);
  scale_grad(*dy, *dy, *dbias, GradMode::Overwrite);
  sums = dbias->in_layout(1);
  stream->synchronize();
  CHECK(sums[0] == 17 && sums[1] == 29 && sums[2] == 45);
  test::check_throws(ErrorCode::InvalidShape, "", [&] { bias_grad(*dy, *two, GradMode::Overwrite); });
  test::check_throws(ErrorCode::InvalidShape, "", [&] { bias_grad(*dbias, *dbias, GradMode::Overwrite); });
  const Tensor integers(stream, {2, 3}, DType::Int32);
  test::check_throws(ErrorCode::Unsupported, "", [&] { bias_grad(integers, *dbias, GradMode::Overwrite); });
  const TensorPtr image = make_tensor(stream, {2, 3, 4, 4}, DType::Float32),
                  other = make_tensor(stream, {3, 3, 1, 1}, DType::Float32);
  test::check_throws(ErrorCode::InvalidShape,
                     "scaleGrad: dscale [3, 3, 1, 1] for dy [2, 3, 4, 4], expected [N, C, 1, 1]",
                     [&] { scale_grad(*image, *image, *other, GradMode::Overwrite); });
  test::check_throws(ErrorCode::InvalidShape, "scaleGrad: x [3, 3, 1, 1], expected [2, 3, 4, 4]",
                     [&] { scale_grad(*image, *other, *other, GradMode::Overwrite); });
}

}  // namespace
}  // namespace groupconv

int main() {
  using groupconv::Shape;
  for (const Shape& shape : {Shape{2, 8, 7, 7}, Shape{3, 5, 4, 6}, Shape{4, 13, 1, 1}, Shape{300, 33, 1, 1},
                             Shape{2, 17, 3, 5}, Shape{1, 3, 50, 41}, Shape{1, 20, 40, 41},
                             Shape{20, 16, 2, 3}, Shape{1, 1, 1, 1}, Shape{2, 1000, 1, 1}})
    for (bool scaled : {false, true})
      for (bool accumulate : {false, true})
        for (float offset : {0.5f, 1000.0f}) groupconv::check_shape(shape, scaled, accumulate, offset);
  groupconv::check_broadcast_values();
  groupconv::check_doors();
  return groupconv::test::report();
}
