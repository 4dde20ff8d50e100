// Which solver a convolution gets on CUDA once it is measured: one that accepts it, found once, kept.
#include "ops/conv2d/conv2d.measure.h"

#include <algorithm>

#include "cuda/settings.h"
#include "cuda/testing.h"
#ifdef GROUPCONV_EMULATED
#include "cuda/emulator/control.h"
#endif

namespace groupconv {
namespace {

using test::Place;

// 4 channels a group: own kernels and cuDNN both take it.
struct Case {
  Shape x{2, 32, 7, 6}, weight{32, 4, 3, 3}, y{2, 32, 7, 6};
  Conv2dGeometry geometry{{1, 1}, {1, 1}, {1, 1, 1, 1}, 8};

  Conv2dProblem problem(Conv2dPass pass, DType dtype) const {
    Conv2dProblem p = conv2d_problem(x, weight, geometry);
    p.pass = pass;
    p.dtype = dtype;
    conv2d_set_stream(p, *test::cuda_stream());
    return p;
  }
  test::Values run(Conv2dPass pass, DType dtype) const {
    const Place on{test::cuda_stream(), dtype};
    if (pass == Conv2dPass::Forward)
      return test::download(*conv2d(*on.activation(x, 1), *on.parameter(weight, 2), nullptr, nullptr, {},
                                    Activation::None, geometry));
    if (pass == Conv2dPass::GradInput) {
      const TensorPtr dx = on.target(x);
      conv2d_grad_input(*on.activation(y, 1), *on.parameter(weight, 2), geometry, *dx, GradMode::Overwrite);
      return test::download(*dx);
    }
    const TensorPtr dweight = on.parameter_target(weight);
    conv2d_grad_weight(*on.activation(x, 1), *on.activation(y, 2), geometry, *dweight, GradMode::Overwrite);
    return test::download(*dweight);
  }
};

constexpr Conv2dPass kPasses[] = {Conv2dPass::Forward, Conv2dPass::GradInput, Conv2dPass::GradWeight};

bool is_among(const std::string& name, const std::vector<std::string>& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

void measuring_names_every_contender() {
  const Case c;
  auto& stream = *test::cuda_stream();
  const std::vector<std::string> names = conv2d_registry().solver_names(DeviceKind::Cuda);
  for (const DType dtype : test::kDTypes)
    for (const Conv2dPass pass : kPasses) {
      const Conv2dProblem p = c.problem(pass, dtype);
      const std::vector<Measurement> rows = measure_conv2d(stream, p, 0);
      CHECK(rows.size() >= 2);
      for (const Measurement& row : rows) {
        CHECK(is_among(row.solver, names) && row.solver != names.back());
        CHECK(row.seconds.size() >= 5 && row.seconds.front() > 0);
        CHECK(std::is_sorted(row.seconds.begin(), row.seconds.end()));
      }
      const std::vector<Measurement> chosen = measure_conv2d(stream, p, 0, "chosen");
      CHECK(chosen.size() == 1 && chosen[0].solver == conv2d_registry().choose(DeviceKind::Cuda, p).name);
      const std::vector<Measurement> reference = measure_conv2d(stream, p, 0, names.back());
      CHECK(reference.size() == 1 && reference[0].solver == names.back());
      CHECK(measure_conv2d(stream, p, 0, "no such solver").empty());
    }
}

void what_was_measured_is_kept_and_taken() {
  const Case c;
  TuningTable& tuning = conv2d_registry().tuning;
  for (const Conv2dPass pass : kPasses) {
    tuning.clear();
    autotune_enabled = true;
    const test::Values tuned = c.run(pass, DType::BFloat16);
    const std::vector<TunedChoice> choices = tuning.choices();
    CHECK(choices.size() == 1 && choices[0].place == test::cuda_stream()->place());
    CHECK(test::same_bits(c.run(pass, DType::BFloat16), tuned) && tuning.choices().size() == 1);
    autotune_enabled = false;
    conv2d_registry().force(choices.at(0).solver);
    CHECK(test::same_bits(c.run(pass, DType::BFloat16), tuned));
    conv2d_registry().force("");
    // The other way round: a choice that was loaded decides.
    for (const Measurement& row : measure_conv2d(*test::cuda_stream(), c.problem(pass, DType::BFloat16), 0)) {
      tuning.put({choices[0].place, choices[0].problem, row.solver});
      const test::Values loaded = c.run(pass, DType::BFloat16);
      conv2d_registry().force(row.solver);
      CHECK(test::same_bits(c.run(pass, DType::BFloat16), loaded));
      conv2d_registry().force("");
    }
  }
  tuning.clear();
  // Settings that decide which solvers there are belong to the place.
  const std::string place = test::cuda_stream()->place();
  cuda::addon_settings().allow_tf32 = true;
  CHECK(test::cuda_stream()->place() != place);
  cuda::addon_settings().allow_tf32 = false;
}

#ifdef GROUPCONV_EMULATED
// Then the list decides, and later calls don't try again.
void what_lacks_memory_is_not_measured_again() {
  const auto& stream = test::cuda_stream();
  const TensorPtr x = make_activation(stream, {1, 32, 512, 512}, DType::BFloat16);  // 16 MiB, y 4 MiB
  const TensorPtr weight = Place{stream, DType::BFloat16}.parameter({32, 4, 3, 3}, 2);
  const auto run = [&] {
    conv2d(*x, *weight, nullptr, nullptr, {}, Activation::None, {{2, 2}, {1, 1}, {1, 1, 1, 1}, 8});
    stream->synchronize();
    return conv2d_registry().tuning.choices().size();
  };
  emulator::only_checked = true;
  emulator::set_memory(emulator::memory_in_use() + (size_t{10} << 20));
  autotune_enabled = true;
  CHECK(run() == 0);
  emulator::set_memory(size_t{1} << 40);
  CHECK(run() == 0);
  autotune_enabled = false;
  emulator::only_checked = false;
  conv2d_registry().tuning.clear();
}
#endif

}  // namespace
}  // namespace groupconv

static void tests() {
  groupconv::test::cuda_stream();
  groupconv::measuring_names_every_contender();
  groupconv::what_was_measured_is_kept_and_taken();
#ifdef GROUPCONV_EMULATED
  groupconv::what_lacks_memory_is_not_measured_again();
#endif
  CHECK_NOTE(groupconv::test::cuda_stream()->intact(), "written beside an allocation");
}

int main() { return groupconv::test::on_a_device(tests); }
