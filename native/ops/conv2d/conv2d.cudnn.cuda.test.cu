// Which of cuDNN's engines a convolution gets, by the settings, or that it gets none. The stand-in's engines
// are made to tell; real ones, by what errors they make. That results are right, conv2d.cuda.test.cu shows,
// for all solvers.
#include <future>

#include "core/recording.h"
#include "cuda/cudnn/layouts.h"
#include "cuda/cudnn/library.h"
#include "cuda/settings.h"
#include "cuda/testing.h"
#include "ops/conv2d/conv2d.cudnn.testing.cuda.h"
#include "ops/conv2d/conv2d.h"

namespace groupconv {
namespace {

using test::EngineCase;
using test::on_cpu;
using test::on_cuda;
using test::Place;
using test::run;

#ifdef GROUPCONV_CUDNN_STANDIN
using test::engine_for;
using test::standin;

void engines_keep_to_the_settings() {
  EngineCase c;
  c.with_epilogue = false;
  c.geometry.padding = {1, 1, 1, 1};
  cuda::Settings& changed = cuda::addon_settings();
  CHECK(engine_for(DType::BFloat16, c) == "engine 0 7=0");  // neither narrow sums nor changing order
  CHECK(engine_for(DType::Float16, c) == "engine 0 7=0");
  CHECK(engine_for(DType::Float32, c) == "engine 2");
  changed.allow_tf32 = true;
  CHECK(engine_for(DType::Float32, c) == "engine 0 7=0");
  changed.allow_tf32 = false;
  changed.deterministic = false;
  CHECK(engine_for(DType::Float32, c) == "engine 1");
  changed.deterministic = true;
  CHECK(engine_for(DType::Float32, c) == "engine 2");
}

// Half a second for each layer would be felt: that is for autotuning, which is asked for.
void nothing_is_compiled_unasked() {
  EngineCase c;
  c.x = Shape{3, 32, 9, 7};
  const int compiled = standin().compiled;
  const test::Values expected = run(on_cpu(DType::BFloat16), c);
  CHECK(test::relative_error(run(on_cuda(DType::BFloat16), c), expected) < test::rounding(DType::BFloat16));
  CHECK(standin().executed.back() == "engine 0 7=0" && standin().compiled == compiled);
}

// Those of the call, not of the moment when the launching thread comes to it; of a recording's, too.
void settings_go_with_the_call() {
  EngineCase c;
  c.geometry.padding = {1, 1, 1, 1};
  const auto stream = std::make_shared<cuda::CudaStream>(0, cuda::open_engine(0));
  const Place on{stream, DType::Float32};
  const TensorPtr x = on.activation(c.x, 1), weight = on.parameter(c.weight, 2);
  const auto call = [&](bool with_tf32) {
    cuda::addon_settings().allow_tf32 = with_tf32;
    const TensorPtr y = conv2d(*x, *weight, nullptr, nullptr, {}, Activation::None, c.geometry);
    cuda::addon_settings().allow_tf32 = false;
    return y;
  };
  const auto last = [&] {
    stream->synchronize();
    return standin().executed.back();
  };
  conv2d_registry().force("cudnn");
  std::promise<void> changed;
  stream->submit([&](const ExecutionContext&) { changed.get_future().wait(); });
  const TensorPtr rounded = call(true);
  changed.set_value();
  CHECK(last() == "engine 0 7=0");
  call(false);
  CHECK(last() == "engine 2");

  stream->begin_recording();
  const TensorPtr recorded = call(true);
  const std::shared_ptr<Recording> recording = stream->end_recording();
  call(false);
  CHECK(last() == "engine 2");
  recording->replay();
  CHECK(last() == "engine 0 7=0");
  conv2d_registry().force("");
}

// Then the plain solver does it, and the next choice does not fall on cuDNN.
void refusals_lead_to_the_plain_solver(bool CudnnStandin::*fault, int32_t size) {
  EngineCase c;
  c.x = Shape{1, 32, size, 6};
  const test::Values expected = run(on_cpu(DType::BFloat16), c);
  Conv2dProblem problem = conv2d_problem(c.x, c.weight, c.geometry);
  problem.dtype = DType::BFloat16;
  problem.has_bias = problem.has_residual = 1;
  problem.activation = c.activation;
  conv2d_set_stream(problem, *test::cuda_stream());
  const auto choice = [&] { return std::string(conv2d_registry().choose(DeviceKind::Cuda, problem).name); };
  conv2d_registry().force("cudnn");
  CHECK(choice() == "cudnn");
  standin().*fault = true;
  const size_t executed = standin().executed.size();
  CHECK(test::relative_error(run(on_cuda(DType::BFloat16), c), expected) < test::rounding(DType::BFloat16));
  standin().*fault = false;
  CHECK(standin().executed.size() == executed);
  CHECK(choice() != "cudnn");
}

// What went wrong for another reason is told, and tried again the next time.
void failures_are_no_refusals() {
  EngineCase c;
  for (const auto& [status, code] :
       {std::pair(4004, ErrorCode::OutOfMemory), std::pair(4001, ErrorCode::DeviceFailure)}) {
    c.x = Shape{1, 32, status == 4004 ? 10 : 13, 6};
    const test::Values expected = run(on_cpu(DType::BFloat16), c);
    standin().plan_status = status;
    test::check_throws(code, "cuDNN: finalize", [&] { run(on_cuda(DType::BFloat16), c); });
    standin().plan_status = 0;
    conv2d_registry().force("");
    const size_t executed = standin().executed.size();
    CHECK(test::relative_error(run(on_cuda(DType::BFloat16), c), expected) < test::rounding(DType::BFloat16));
    CHECK(standin().executed.size() == executed + 1);
  }
}

// One device's cuDNN does not speak for another's.
void refusals_are_a_device_s_own() {
  EngineCase c;
  c.x = Shape{1, 32, 11, 6};
  const test::Values expected = run(on_cpu(DType::BFloat16), c);
  const auto second = std::make_shared<cuda::CudaStream>(1, cuda::open_engine(1));
  const Place there{second, DType::BFloat16};
  for (const bool refuses : {true, false}) {  // still so, when the engines come back
    standin().refuse = refuses;
    const size_t executed = standin().executed.size();
    CHECK(test::relative_error(run(there, c), expected) < test::rounding(DType::BFloat16));
    CHECK(standin().executed.size() == executed);
  }
  const size_t executed = standin().executed.size();
  CHECK(test::relative_error(run(on_cuda(DType::BFloat16), c), expected) < test::rounding(DType::BFloat16));
  CHECK(standin().executed.size() == executed + 1);
  second->stop();
}

#endif

// TF32 is told by its error: far above float32's, and within 2^-11 of the products.
void tf32_is_off_unless_allowed() {
  EngineCase c;  // dense, with sums long enough for any tensor core
  c.x = Shape{4, 64, 14, 14}, c.weight = Shape{64, 64, 3, 3};
  c.geometry = {{1, 1}, {1, 1}, {1, 1, 1, 1}, 1};
  c.with_epilogue = false;
  const test::Values expected = run(on_cpu(DType::Float32), c);
  const auto error = [&] { return test::relative_error(run(on_cuda(DType::Float32), c), expected); };
  const double exact = error();
  cuda::addon_settings().allow_tf32 = true;
  const double rounded = error();
  cuda::addon_settings().allow_tf32 = false;
  CHECK_NOTE(exact < 3e-6, std::to_string(exact));
  CHECK_NOTE(rounded > 1e-5 && rounded < 1e-3, std::to_string(rounded));
}

// cuDNN writes beside the residual, so it would gain nothing from its memory.
void residuals_keep_their_memory() {
  const Place on = on_cuda(DType::BFloat16);
  const TensorPtr x = on.activation({1, 16, 3, 3}, 1), weight = on.parameter({16, 16, 1, 1}, 2);
  const TensorPtr residual = on.activation({1, 16, 3, 3}, 3);
  const void* const memory = residual->in_layout<void>(16);
  conv2d_registry().force("cudnn");
  const TensorPtr y = conv2d(*x, *weight, nullptr, nullptr, {residual.get(), true}, Activation::None,
                             {{1, 1}, {1, 1}, {0, 0, 0, 0}, 1});
  conv2d_registry().force("");
  CHECK(y->in_layout<void>(16) != memory);
}

// 33 elements of 16 bits end within a float32, which is what prepared filters are counted in.
void odd_filters_have_room() {
  EngineCase c;
  c.x = Shape{1, 3, 4, 4}, c.weight = Shape{11, 3, 1, 1};
  c.geometry = {{1, 1}, {1, 1}, {0, 0, 0, 0}, 1};
  const test::Values expected = run(on_cpu(DType::BFloat16), c);
  CHECK(test::relative_error(run(on_cuda(DType::BFloat16), c), expected) <
        2 * test::rounding(DType::BFloat16));
  c.with_epilogue = false;
  run(on_cuda(DType::BFloat16), c);
  CHECK(test::cuda_stream()->intact());
}

// dweight has the precision of 16 bits, and no more, where engines write those; they come first.
void gradients_of_weights_pass_through_16_bits() {
  const Shape x{2, 16, 5, 4}, weight{8, 8, 3, 3};
  const Conv2dGeometry geometry{{1, 1}, {1, 1}, {1, 1, 1, 1}, 2};
  const auto error = [&](const Shape& shape, GradMode mode) {
    const auto dweight = [&](const Place& on) {
      conv2d_registry().force(on.is_cuda() ? "cudnn" : "reference");
      const Shape y{shape[0], weight[0], shape[2], shape[3]};
      const TensorPtr target = on.parameter(weight, 3);
      conv2d_grad_weight(*on.activation(shape, 1), *on.activation(y, 2), geometry, *target, mode);
      conv2d_registry().force("");
      return test::download(*target);
    };
    return test::relative_error(dweight(on_cuda(DType::BFloat16)), dweight(on_cpu(DType::BFloat16)));
  };
  for (const GradMode mode : {GradMode::Overwrite, GradMode::Accumulate})
    CHECK(error(x, mode) < test::rounding(DType::BFloat16));
#ifdef GROUPCONV_CUDNN_STANDIN
  CHECK(error(x, GradMode::Overwrite) > 1e-5);
  standin().only_wide_gradients = true;
  CHECK(error({2, 16, 4, 4}, GradMode::Overwrite) < 1e-6);
  standin().only_wide_gradients = false;
#endif
}

// Filters in groupconv's order instead of cuDNN's: were `prepare` left out, the tests of results would fail.
void unordered_filters_are_noticed() {
  EngineCase c;
  const test::Values expected = run(on_cpu(DType::BFloat16), c);
  const cuda::cudnn::Filter filter{16, 16, 6};
  const test::Values values = test::hashed_values(2, static_cast<size_t>(filter.size()));
  test::Values moved(values.size());
  for (int64_t k = 0; k < 16; ++k)  // such that, reordered, the memory is in the original order
    for (int64_t i = 0; i < 96; ++i)
      moved[static_cast<size_t>(k * 96 + i % 16 * 6 + i / 16)] = values[static_cast<size_t>(k * 96 + i)];
  conv2d_registry().force("cudnn");
  const Place on = on_cuda(DType::BFloat16);
  const Conv2dProblem p = conv2d_problem(c.x, c.weight, c.geometry);
  const TensorPtr x = on.activation(c.x, 1), weight = on.parameter(c.weight, moved);
  const TensorPtr bias = on.parameter({p.k}, 3), residual = on.activation({p.n, p.k, p.p, p.q}, 4);
  const test::Values actual = test::download(
      *conv2d(*x, *weight, bias.get(), nullptr, {residual.get(), false}, c.activation, c.geometry));
  conv2d_registry().force("");
  CHECK(test::relative_error(actual, expected) > 10 * test::rounding(DType::BFloat16));
}

}  // namespace
}  // namespace groupconv

static void tests() {
  using namespace groupconv;
#ifdef GROUPCONV_CUDNN_STANDIN
  engines_keep_to_the_settings();
  nothing_is_compiled_unasked();
  settings_go_with_the_call();
  refusals_lead_to_the_plain_solver(&CudnnStandin::refuse, 7);
  refusals_lead_to_the_plain_solver(&CudnnStandin::fail_to_execute, 8);
  failures_are_no_refusals();
  refusals_are_a_device_s_own();
#endif
  tf32_is_off_unless_allowed();
  residuals_keep_their_memory();
  gradients_of_weights_pass_through_16_bits();
  unordered_filters_are_noticed();
  odd_filters_have_room();
#ifdef GROUPCONV_CUDNN_STANDIN
  CHECK(standin().orphans == 0);
#endif
}

int main() { return groupconv::test::on_a_device(tests); }
