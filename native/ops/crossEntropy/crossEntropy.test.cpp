// Every solver on every instruction set and thread count against the float64 reference; bad labels; the
// doors.
#include "ops/crossEntropy/crossEntropy.h"

#include "core/check.h"
#include "cpu/everywhere.h"
#include "cpu/stream.h"

namespace groupconv {
namespace {

using test::check_throws;
using test::Guarded;
using Values = std::vector<float>;

std::vector<int32_t> labels_for(const CrossEntropyProblem& p) {
  std::vector<int32_t> labels;
  for (int64_t row = 0; row < p.n; ++row) labels.push_back(static_cast<int32_t>((row * 7 + 3) % p.classes));
  return labels;
}

Values run(const CrossEntropySolver& solver, const CrossEntropyProblem& p, const Values& x, int threads,
           const std::string& note) {
  Guarded logits(x), loss(1), dloss(Values{0.75f}), dlogits(test::hashed_values(4, x.size()));
  Guarded workspace(solver.workspace_bytes ? solver.workspace_bytes(p) / sizeof(float) : 0);
  const auto labels = labels_for(p);
  solver.run(p, {logits.data(), labels.data(), loss.data(), dloss.data(), dlogits.data(), workspace.data()},
             CpuContext(threads));
  for (const Guarded* memory : {&logits, &loss, &dlogits, &workspace})
    CHECK_NOTE(memory->intact(), "guards " + note);
  return p.backward ? dlogits.values() : loss.values();
}

void check_problem(const CrossEntropyProblem& p, const Values& x) {
  const Values expected = run(test::reference_of(cross_entropy_registry(), p), p, x, 1, "reference");
  for (Isa isa : available_isas()) {
    force_isa(isa);
    test::check_solvers(
        cross_entropy_registry(), p, isa,
        [&](const CrossEntropySolver& solver, int threads, const std::string& note) {
          return run(solver, p, x, threads, note);
        },
        [&](const Values& actual, const std::string& note) {
          double worst = 0, scale = p.accumulate ? 1 : p.backward ? 1.0 / p.n : std::fabs(expected[0]) + 1e-3;
          for (size_t i = 0; i < actual.size(); ++i)
            worst = std::fmax(worst, std::fabs(double{actual[i]} - expected[i]) / scale);
          CHECK_NOTE(worst <= 1e-6, note + " error " + std::to_string(worst * 1e6) + "e-6");
        });
  }
}

void check_doors() {
  const auto stream = std::make_shared<CpuStream>();
  const TensorPtr logits = make_tensor(stream, {4, 10}, DType::Float32),
                  labels = make_tensor(stream, {4}, DType::Int32);
  const TensorPtr dlogits = make_tensor(stream, {4, 10}, DType::Float32);
  for (int64_t i = 0; i < 40; ++i) logits->target_in_layout(1)[i] = 0, dlogits->target_in_layout(1)[i] = 5;
  for (int i = 0; i < 4; ++i) labels->target_in_layout<int32_t>(1)[i] = i;
  const TensorPtr loss = cross_entropy(*logits, *labels, 0);
  cross_entropy_grad(*loss, *logits, *labels, 0, *dlogits, GradMode::Accumulate);
  stream->synchronize();
  CHECK(loss->shape() == Shape{} && std::fabs(*loss->in_layout(1) - std::log(10.0)) < 1e-6);
  CHECK(std::fabs(dlogits->in_layout(1)[0] - (5 - 0.9 * std::log(10.0) / 4)) < 1e-6);

  labels->update_in_layout<int32_t>(1)[3] = 10;
  const TensorPtr bad = cross_entropy(*logits, *labels, 0.1f);
  check_throws(ErrorCode::InvalidArgument, "crossEntropy: label 10 of sample 3, 10 classes",
               [&] { stream->synchronize(); });
  const float before = dlogits->in_layout(1)[0];
  cross_entropy_grad(*loss, *logits, *labels, 0, *dlogits, GradMode::Accumulate);
  check_throws(ErrorCode::InvalidArgument, "label 10", [&] { stream->synchronize(); });
  CHECK(dlogits->in_layout(1)[0] == before);
  for (const auto& [call, code] : std::vector<std::pair<std::function<void()>, ErrorCode>>{
           {[&] { cross_entropy(*labels, *labels, 0); }, ErrorCode::InvalidShape},
           {[&] { cross_entropy(*logits, *logits, 0); }, ErrorCode::InvalidShape},
           {[&] { cross_entropy(*logits, *labels, 1.5f); }, ErrorCode::InvalidArgument},
           {[&] { cross_entropy(*logits, *make_tensor(stream, {4}, DType::Float32), 0); },
            ErrorCode::Unsupported}})
    check_throws(code, "", call);
}

}  // namespace
}  // namespace groupconv

int main() {
  using namespace groupconv;
  for (int64_t n : {1, 3, 40})
    for (int64_t classes : {1, 2, 10, 17, 1000})
      for (float smoothing : {0.0f, 0.1f, 1.0f})
        for (int variant = 0; variant < 3; ++variant)
          for (float offset : {0.0f, 1000.0f}) {
            Values x =
                test::hashed_values(static_cast<uint32_t>(n + classes), static_cast<size_t>(n * classes));
            for (float& value : x) value = 5 * value + offset;
            check_problem({DType::Float32, variant > 0, variant > 1, smoothing, n, classes}, x);
          }
  check_problem({DType::Float32, false, false, 0, 1, 3},
                {2, -INFINITY, 1});  // minus infinity costs nothing where it is no label
  check_doors();
  return test::report();
}
