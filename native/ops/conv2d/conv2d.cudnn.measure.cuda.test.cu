// cuDNN's engines, measured: the fastest is taken, and kept for other programs. The stand-in's engines are
// made to tell; of real ones it is enough that the choice leads to itself again.
#include <algorithm>

#include "cuda/autotuning.testing.h"
#include "cuda/cudnn/session.h"
#include "cuda/testing.h"
#include "ops/conv2d/conv2d.cudnn.testing.cuda.h"

namespace groupconv {
namespace {

using test::Autotuning;
using test::EngineCase;
using test::on_cpu;
using test::on_cuda;
using test::Place;
using test::run;

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

// What a stream's cuDNN has been prepared to, "fused engine 0 7=1"; of several convolutions, the last.
std::string prepared_on(Stream& stream) {
  std::string names;
  stream.submit([&](const ExecutionContext& context) {
    for (const auto& [key, way] : cuda::cuda_context(context).cudnn()->prepared)
      names = std::string(name_of(way.assembly->recipe)) + ' ' + way.plan->name();
  });
  stream.synchronize();
  return names;
}

// With and without an epilogue, which an engine may take in: the choice is measured, told, and comes back in
// another stream with the same bits as before.
void choices_lead_to_themselves() {
  for (const bool with_epilogue : {true, false}) {
    EngineCase c;
    c.x = Shape{8, 64, 14, 14}, c.weight = Shape{64, 64, 3, 3};
    c.geometry = {{1, 1}, {1, 1}, {1, 1, 1, 1}, 1};
    c.with_epilogue = with_epilogue;
    Autotuning tuning;
    const test::Values expected = run(on_cpu(DType::BFloat16), c);
    std::vector<test::Values> results;
    for (int program = 0; program < 2; ++program) {
      const auto stream = std::make_shared<cuda::CudaStream>(0, cuda::open_engine(0));
      results.push_back(run(Place{stream, DType::BFloat16}, c));
      CHECK(tuning.kept.size() == 1);
      for (const TunedChoice& choice : tuning.kept)
        CHECK_NOTE(prepared_on(*stream) == first_line(choice.solver), choice.solver);
      stream->stop();
      tuning.on = false;
    }
    CHECK(test::relative_error(results[0], expected) < 2 * test::rounding(DType::BFloat16));
    CHECK(test::same_bits(results[0], results[1]));
  }
}

#ifdef GROUPCONV_CUDNN_STANDIN
using test::standin;

// The stand-in's engines for a case, as they are told while autotuning is on.
std::vector<cuda::MeasuredEngine> measured(const Place& on, const EngineCase& c) {
  Autotuning tuning;
  run(on, c);
  return tuning.told;
}

// Each of them, with its seconds; but for those that fail.
void measured_engines_are_told() {
  EngineCase c;
  c.x = Shape{1, 32, 10, 6};
  const auto counted = [](const std::vector<cuda::MeasuredEngine>& engines, const std::string& name) {
    return std::count_if(engines.begin(), engines.end(), [&](const auto& each) { return each.name == name; });
  };
  const std::vector<cuda::MeasuredEngine> told = measured(on_cuda(DType::BFloat16), c);
  CHECK(counted(told, "fused engine 0 7=0") == 1 && counted(told, "fused engine 0 7=1") == 1);
  CHECK(counted(told, "plain engine 0 7=0") == 1);
  const auto quickest = std::min_element(told.begin(), told.end(),
                                         [](const auto& a, const auto& b) { return a.seconds < b.seconds; });
  CHECK(quickest->name == "fused engine 0 7=1" && quickest->seconds > 0);
  CHECK(measured(on_cuda(DType::BFloat16), c).empty());  // it is known by now

  standin().broken = "engine 0 7=1";
  const auto stream = std::make_shared<cuda::CudaStream>(0, cuda::open_engine(0));
  const std::vector<cuda::MeasuredEngine> others = measured(Place{stream, DType::BFloat16}, c);
  stream->stop();
  standin().broken.clear();
  CHECK(counted(others, "fused engine 0 7=1") == 0 && others.size() > 1);
}

// A choice is the plan's name, and what was compiled for it.
void measured_engines_are_remembered() {
  EngineCase c;
  c.x = Shape{1, 32, 6, 6};
  Autotuning tuning;
  std::vector<TunedChoice>& kept = tuning.kept;
  const test::Values expected = run(on_cpu(DType::BFloat16), c);
  const test::Values measured = run(on_cuda(DType::BFloat16), c);
  CHECK(test::relative_error(measured, expected) < test::rounding(DType::BFloat16));
  CHECK(standin().executed.back() == "engine 0 7=1");  // offered last, but the fastest
  CHECK(kept.size() == 1 && first_line(kept[0].solver) == "fused engine 0 7=1");
  CHECK(kept[0].place.find("cuDNN 9.9.9") != std::string::npos);
  const int plans = standin().plans;
  run(on_cuda(DType::BFloat16), c);
  CHECK(standin().plans == plans && kept.size() == 1);  // once

  // Another program: remembers, without measuring.
  tuning.on = false;
  const auto afresh = [&] {
    const auto stream = std::make_shared<cuda::CudaStream>(0, cuda::open_engine(0));
    const test::Values values = run(Place{stream, DType::BFloat16}, c);
    CHECK(test::relative_error(values, expected) < test::rounding(DType::BFloat16));
    stream->stop();
    return standin().executed.back();
  };
  const std::string solver = kept[0].solver;
  const int built = standin().plans, restored = standin().restored;
  CHECK(afresh() == "engine 0 7=1");
  CHECK(standin().plans == built && standin().restored == restored + 1);  // from what it had been compiled to
  for (const std::string& other : {first_line(solver), first_line(solver) + "\nof another version"}) {
    kept[0].solver = other;
    CHECK(afresh() == "engine 0 7=1");
  }
  CHECK(standin().plans == built + 2 && standin().restored == restored + 1);
  for (const char* unknown :
       {"fused engine 77", "fused engine 0 9=1", "wrong engine 0 7=1", "fused", "plain engine x"}) {
    kept[0].solver = unknown;
    CHECK(afresh() == "engine 0 7=0");  // cuDNN's first
  }
}

// The gradient of a weight: in float32, where its sum is split among the blocks that the filter leaves
// without work, and where that is faster than in 16 bits.
void sums_are_split() {
  const Shape x{2, 8, 6, 4}, weight{16, 8, 3, 3};
  const Conv2dGeometry geometry{{1, 1}, {1, 1}, {1, 1, 1, 1}, 1};
  const auto dweight = [&](const Place& on) {
    conv2d_registry().force(on.is_cuda() ? "cudnn" : "reference");
    const TensorPtr target = on.parameter(weight, 3);
    conv2d_grad_weight(*on.activation(x, 1), *on.activation({x[0], weight[0], x[2], x[3]}, 2), geometry,
                       *target, GradMode::Overwrite);
    conv2d_registry().force("");
    return test::download(*target);
  };
  Autotuning tuning;
  const test::Values split = dweight(on_cuda(DType::BFloat16));
  CHECK(tuning.kept.size() == 1);
  const std::string choice = first_line(tuning.kept.at(0).solver);
  CHECK_NOTE(choice == "plain engine 0 7=0 17=2" || choice == "plain engine 0 7=1 17=2", choice);
  CHECK(test::relative_error(split, dweight(on_cpu(DType::BFloat16))) < 1e-6);
}

// An engine that fails while it is measured is left out.
void broken_engines_are_passed_over() {
  EngineCase c;
  c.x = Shape{1, 32, 9, 6};
  const test::Values expected = run(on_cpu(DType::BFloat16), c);
  Autotuning tuning;
  standin().broken = "engine 0 7=1";
  const auto stream = std::make_shared<cuda::CudaStream>(0, cuda::open_engine(0));
  const test::Values values = run(Place{stream, DType::BFloat16}, c);
  stream->stop();
  standin().broken.clear();
  CHECK(test::relative_error(values, expected) < test::rounding(DType::BFloat16));
  CHECK(standin().executed.back() == "engine 0 7=0");
}

// However many configurations one of them offers.
void every_recipe_is_measured() {
  EngineCase c;
  c.x = Shape{1, 32, 12, 6};
  Autotuning tuning;
  standin().copies = 8;
  standin().slow_epilogues = true;
  const int plans = standin().plans;
  run(on_cuda(DType::BFloat16), c);
  standin().slow_epilogues = false;
  standin().copies = 1;
  CHECK(standin().plans - plans <= 8);
  CHECK(tuning.kept.size() == 1 && tuning.kept[0].solver.substr(0, 6) == "plain ");
}

#endif

}  // namespace
}  // namespace groupconv

static void tests() {
  using namespace groupconv;
  test::cuda_stream();
  choices_lead_to_themselves();
#ifdef GROUPCONV_CUDNN_STANDIN
  measured_engines_are_told();
  measured_engines_are_remembered();
  sums_are_split();
  broken_engines_are_passed_over();
  every_recipe_is_measured();
  CHECK(standin().orphans == 0);
#endif
}

int main() { return groupconv::test::on_a_device(tests); }
