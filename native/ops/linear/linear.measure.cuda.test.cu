// Which solver a linear layer gets on CUDA once it is measured: one that accepts it, found once, kept.
#include "ops/linear/linear.measure.h"

#include <algorithm>

#include "cuda/testing.h"

namespace groupconv {
namespace {

using test::Place;

// Few rows, so that all solvers take it forward.
const Shape kX{4, 48}, kWeight{16, 48}, kY{4, 16};
constexpr LinearPass kPasses[] = {LinearPass::Forward, LinearPass::GradInput, LinearPass::GradWeight};

LinearProblem problem(LinearPass pass, DType dtype) {
  LinearProblem p{};
  p.pass = pass, p.dtype = dtype;
  p.rows = 4, p.in = 48, p.out = 16;
  p.has_bias = pass == LinearPass::Forward;
  return p;
}

test::Values run(LinearPass pass, DType dtype) {
  const Place on{test::cuda_stream(), dtype};
  if (pass == LinearPass::Forward)
    return test::download(
        *linear(*on.activation(kX, 1), *on.parameter(kWeight, 2), on.parameter({16}, 3).get()));
  if (pass == LinearPass::GradInput) {
    const TensorPtr dx = on.target(kX);
    linear_grad_input(*on.activation(kY, 1), *on.parameter(kWeight, 2), *dx, GradMode::Overwrite);
    return test::download(*dx);
  }
  const TensorPtr dweight = on.parameter_target(kWeight);
  linear_grad_weight(*on.activation(kX, 1), *on.activation(kY, 2), *dweight, GradMode::Overwrite);
  return test::download(*dweight);
}

void measuring_names_every_contender() {
  std::vector<std::string> all = linear_registry().solver_names(DeviceKind::Cuda);
  all.erase(std::unique(all.begin(), all.end()), all.end());  // families
  for (const DType dtype : test::kDTypes)
    for (const LinearPass pass : kPasses) {
      const LinearProblem p = problem(pass, dtype);
      std::vector<std::string> names;
      for (const Measurement& row : measure_linear(*test::cuda_stream(), p, 0)) {
        names.push_back(row.solver);
        CHECK(row.seconds.size() >= 5 && row.seconds.front() > 0);
      }
      std::vector<std::string> accepting;
      for (const std::string& name : all)
        for (const LinearSolver* solver : linear_registry().list(DeviceKind::Cuda))
          if (name == solver->name && solver->accepts(p)) accepting.push_back(name);
      CHECK(names == accepting && names.back() == "tiles");  // the last one is worth its time here
      CHECK(names.size() >= (pass == LinearPass::Forward ? 2u : 1u));
      const std::vector<Measurement> chosen = measure_linear(*test::cuda_stream(), p, 0, "chosen");
      CHECK(chosen.size() == 1 && chosen[0].solver == names.front());
    }
}

void what_was_measured_is_kept_and_taken() {
  TuningTable& tuning = linear_registry().tuning;
  for (const LinearPass pass : kPasses) {
    tuning.clear();
    autotune_enabled = true;
    const test::Values tuned = run(pass, DType::BFloat16);
    const std::vector<TunedChoice> choices = tuning.choices();
    CHECK(choices.size() == 1 && choices[0].place == test::cuda_stream()->place());
    CHECK(test::same_bits(run(pass, DType::BFloat16), tuned) && tuning.choices().size() == 1);
    autotune_enabled = false;
    linear_registry().force(choices.at(0).solver);
    CHECK(test::same_bits(run(pass, DType::BFloat16), tuned));
    linear_registry().force("");
    // The other way round: a choice that was loaded decides.
    for (const Measurement& row : measure_linear(*test::cuda_stream(), problem(pass, DType::BFloat16), 0)) {
      tuning.put({choices[0].place, choices[0].problem, row.solver});
      const test::Values loaded = run(pass, DType::BFloat16);
      linear_registry().force(row.solver);
      CHECK(test::same_bits(run(pass, DType::BFloat16), loaded));
      linear_registry().force("");
    }
  }
  tuning.clear();
}

// What differs is another problem.
void problems_are_told_apart() {
  autotune_enabled = true;
  for (const DType dtype : test::kDTypes)
    for (const LinearPass pass : kPasses) run(pass, dtype);
  autotune_enabled = false;
  CHECK(linear_registry().tuning.choices().size() == 9);
  linear_registry().tuning.clear();
}

}  // namespace
}  // namespace groupconv

static void tests() {
  groupconv::test::cuda_stream();
  groupconv::measuring_names_every_contender();
  groupconv::what_was_measured_is_kept_and_taken();
  groupconv::problems_are_told_apart();
  CHECK_NOTE(groupconv::test::cuda_stream()->intact(), "written beside an allocation");
}

int main() { return groupconv::test::on_a_device(tests); }
