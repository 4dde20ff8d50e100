// Every solver on every instruction set and thread count against the float64 reference; extreme values; the
// doors.
#include "ops/softmax/softmax.h"

#include "core/check.h"
#include "cpu/everywhere.h"
#include "cpu/stream.h"

namespace groupconv {
namespace {

using test::check_throws;
using test::Guarded;
using Values = std::vector<float>;

Values run(const SoftmaxSolver& solver, const SoftmaxProblem& p, const Values& x, const Values& y_values,
           int threads, const std::string& note) {
  Guarded input(x), y(y_values), dy(test::hashed_values(3, x.size())), dx(test::hashed_values(4, x.size()));
  solver.run(p, {input.data(), y.data(), dy.data(), dx.data()}, CpuContext(threads));
  CHECK_NOTE(input.intact() && y.intact() && dy.intact() && dx.intact(), "guards " + note);
  return p.backward ? dx.values() : y.values();
}

// The largest difference in units of `scale`.
double worst(const Values& a, const Values& b, double scale) {
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) != std::isnan(b[i])) return INFINITY;
    if (!std::isnan(b[i]) && a[i] != b[i]) most = std::fmax(most, std::fabs(double{a[i]} - b[i]) / scale);
  }
  return most;
}

void check_problem(const SoftmaxProblem& p, const Values& x) {
  SoftmaxProblem forward = p;
  forward.backward = forward.accumulate = false;
  const Values y =
      run(test::reference_of(softmax_registry(), forward), forward, x, Values(x.size()), 1, "reference");
  const Values expected = run(test::reference_of(softmax_registry(), p), p, x, y, 1, "reference");
  for (Isa isa : available_isas()) {
    force_isa(isa);
    test::check_solvers(
        softmax_registry(), p, isa,
        [&](const SoftmaxSolver& solver, int threads, const std::string& note) {
          return run(solver, p, x, y, threads, note);
        },
        [&](const Values& actual, const std::string& note) {
          // A gradient is a difference that may cancel: only its absolute error is bounded.
          const double error = test::relative_error(actual, expected);
          if (!p.backward && std::isfinite(error))
            CHECK_NOTE(error <= 2e-7, note + " error " + std::to_string(error * 1e7) + "e-7");
          CHECK_NOTE(worst(actual, expected, p.log ? 1000 : 1) <= 2e-6, "values " + note);
        });
  }
}

void check_shapes() {
  for (int64_t outer : {1, 3})
    for (int64_t count : {1, 2, 10, 17, 64, 1000})
      for (int64_t inner : {1, 5, 19})
        for (bool backward : {false, true})
          for (bool log : {false, true})
            for (int variant = 0; variant < 3; ++variant) {
              if (variant == 2 && !backward) continue;
              Values x = test::hashed_values(static_cast<uint32_t>(count + inner),
                                             static_cast<size_t>(outer * count * inner));
              for (float& value : x) value = variant ? 20 * value + 1000 : 3 * value;
              check_problem({DType::Float32, backward, log, variant == 2, outer, count, inner}, x);
            }
  // 100,000 equal values: a sum that float32 alone would get wrong in the last digits.
  check_problem({DType::Float32, false, true, false, 1, 100000, 1}, Values(100000, 0.25f));
}

void check_extremes() {
  const float inf = INFINITY;
  for (bool log : {false, true})
    for (const Values& x :
         {Values{0, -inf, 1}, Values{-1e30f, 1e30f, 0}, Values{NAN, 1, 2}, Values{1, NAN, 2},
          Values{inf, 0, 1}, Values{-inf, -inf, -inf}, Values{-90, 0, -100}, Values{-103.5f, 0, -87.5f}})
      check_problem({DType::Float32, false, log, false, 1, 3, 1}, x);
}

void check_doors() {
  const auto stream = std::make_shared<CpuStream>();
  const TensorPtr x = make_tensor(stream, {2, 20, 1, 2}, DType::Float32);
  for (int64_t i = 0; i < x->size(); ++i) x->target_in_layout(1)[i] = static_cast<float>(i % 7);
  stream->synchronize();
  x->in_layout(stream->activation_block(20));  // as a convolution leaves it
  const TensorPtr y = softmax(*x, -3, false), dx = make_tensor(stream, x->shape(), DType::Float32);
  softmax_grad(*y, *y, 1, false, *dx, GradMode::Overwrite);
  stream->synchronize();
  double sum = 0, slope = 0;
  for (int c = 0; c < 20; ++c) sum += y->in_layout(1)[c * 2 + 1], slope += dx->in_layout(1)[c * 2 + 1];
  CHECK(std::fabs(sum - 1) < 1e-6 && std::fabs(slope) < 1e-7);
  for (int axis : {4, -5})
    check_throws(ErrorCode::InvalidArgument,
                 "logSoftmax: axis " + std::to_string(axis) + " of x [2, 20, 1, 2], which has 4 dimensions",
                 [&] { softmax(*x, axis, true); });
}

}  // namespace
}  // namespace groupconv

int main() {
  using namespace groupconv;
  check_shapes();
  check_extremes();
  check_doors();
  return test::report();
}
