// Linear layers through cuDNN: the settings they were called with, the weight's cast, and what happens where
// cuDNN refuses. That results are right, linear.cuda.test.cu shows, for all solvers.
#include <future>

#include "core/recording.h"
#include "cuda/cudnn/library.h"
#include "cuda/settings.h"
#include "cuda/testing.h"
#include "ops/linear/linear.h"

#ifdef GROUPCONV_CUDNN_STANDIN
#include "cuda/standin.testing.h"
#endif

namespace groupconv {
namespace {

using test::Place;

#ifdef GROUPCONV_CUDNN_STANDIN
using test::standin;

// TF32 as it was allowed when the operator was called, which the error tells.
void settings_go_with_the_call() {
  const auto stream = std::make_shared<cuda::CudaStream>(0, cuda::open_engine(0));
  const Place on{stream, DType::Float32};
  const TensorPtr x = on.activation({4, 16}, 1), weight = on.parameter({8, 16}, 2);
  const test::Values exact = test::download(*linear(*x, *weight, nullptr));
  for (const bool allowed : {true, false}) {
    std::promise<void> changed;
    stream->submit([&](const ExecutionContext&) { changed.get_future().wait(); });
    cuda::addon_settings().allow_tf32 = allowed;
    const TensorPtr y = linear(*x, *weight, nullptr);
    cuda::addon_settings().allow_tf32 = !allowed;
    changed.set_value();
    CHECK((test::relative_error(test::download(*y), exact) > 1e-5) == allowed);
  }
  cuda::addon_settings().allow_tf32 = false;
}

#endif

// A layer whose weight can be overwritten behind its version: what is computed then tells whether it was cast
// again.
struct Layer {
  static constexpr int64_t kRows = 3, kIn = 16, kOut = 8;
  Place on;
  TensorPtr x = on.activation({kRows, kIn}, 1), dy = on.activation({kRows, kOut}, 2);
  TensorPtr weight = on.parameter({kOut, kIn}, 3), dx = on.target({kRows, kIn});

  void overwrite(uint32_t seed) const {
    const test::Values values = test::hashed_values(seed, kOut * kIn);
    const auto* const bytes = reinterpret_cast<const char*>(values.data());
    const size_t size = values.size() * sizeof(float);
    on.stream->tile({bytes, bytes + size}, const_cast<float*>(weight->in_layout(1)), size);
  }
  TensorPtr forward() const { return linear(*x, *weight, nullptr); }
  test::Values y() const { return test::download(*forward()); }
  test::Values grad_input() const {
    linear_grad_input(*dy, *weight, *dx, GradMode::Overwrite);
    return test::download(*dx);
  }
  int64_t casts() const { return on.stream->use.derived_bytes / (kOut * kIn * 2); }
};

// Of another weight, made afresh.
test::Values forward_of(const Place& on, uint32_t seed) {
  const Layer layer{on};
  layer.overwrite(seed);
  return layer.y();
}

void weights_are_cast_once() {
  for (const DType dtype : {DType::BFloat16, DType::Float16}) {
    const Place on{std::make_shared<cuda::CudaStream>(0, cuda::open_engine(0)), dtype};
    const Layer layer{on};
    const test::Values y = layer.y(), dx = layer.grad_input();
    CHECK(layer.casts() == 1);  // both passes read one form
    layer.overwrite(4);
    CHECK(test::same_bits(layer.y(), y) && test::same_bits(layer.grad_input(), dx));
    layer.weight->touch();
    CHECK(layer.casts() == 0);
    CHECK(test::same_bits(layer.y(), forward_of(on, 4)) && !test::same_bits(layer.grad_input(), dx));
    CHECK(layer.casts() == 1);
  }
  // Float32 is read where it is; so is what the gradient of the weight needs.
  const Place on{std::make_shared<cuda::CudaStream>(0, cuda::open_engine(0)), DType::Float32};
  const Layer layer{on};
  layer.y();
  const TensorPtr dweight = on.parameter_target({Layer::kOut, Layer::kIn});
  linear_grad_weight(*layer.x, *layer.dy, *dweight, GradMode::Overwrite);
  test::download(*dweight);
  CHECK(on.stream->use.derived_bytes == 0);
}

void replays_cast_what_has_changed() {
  const auto stream = std::make_shared<cuda::CudaStream>(0, cuda::open_engine(0));
  const Place on{stream, DType::BFloat16};
  const Layer layer{on};
  stream->begin_recording();
  const TensorPtr y = layer.forward();
  linear_grad_input(*layer.dy, *layer.weight, *layer.dx, GradMode::Overwrite);
  const std::shared_ptr<Recording> recording = stream->end_recording();
  CHECK(layer.casts() == 1);
  const auto replayed = [&] {
    recording->replay();
    return test::download(*y);
  };
  const test::Values first = replayed(), dx = test::download(*layer.dx);
  CHECK(test::same_bits(first, forward_of(on, 3)));
  layer.overwrite(4);
  CHECK(test::same_bits(replayed(), first));  // the cast is no part of what is repeated
  layer.weight->touch();
  CHECK(test::same_bits(replayed(), forward_of(on, 4)));
  CHECK(!test::same_bits(test::download(*layer.dx), dx) && layer.casts() == 1);
}

#ifdef GROUPCONV_CUDNN_STANDIN
// Then the tiles do it, on a weight that is float32 again.
void refusals_lead_to_the_tiles() {
  const auto check = [](DType dtype, int64_t rows, int64_t in) {  // `in` of 600: several parts
    const Shape x{rows, in}, weight{24, in}, y{rows, 24};
    const auto run = [&](const Place& on) {
      linear_registry().force(on.is_cuda() ? "cudnn" : "reference");
      const TensorPtr bias = on.parameter({24}, 3), parameter = on.parameter(weight, 2),
                      dx = on.activation(x, 5), dweight = on.parameter(weight, 6),
                      features = on.activation(x, 1), dy = on.activation(y, 4);
      const TensorPtr result = linear(*features, *parameter, bias.get());
      linear_grad_input(*dy, *parameter, *dx, GradMode::Accumulate);
      linear_grad_weight(*features, *dy, *dweight, GradMode::Accumulate);
      linear_registry().force("cudnn");
      return std::vector<test::Values>{test::download(*result), test::download(*dx),
                                       test::download(*dweight)};
    };
    const auto expected = run({test::cpu_stream(), dtype});
    standin().refuse = true;
    const size_t executed = standin().executed.size();
    const auto actual = run({test::cuda_stream(), dtype});
    standin().refuse = false;
    CHECK(standin().executed.size() == executed);
    for (size_t i = 0; i < expected.size(); ++i)
      CHECK(test::relative_error(actual[i], expected[i]) < test::activation_tolerance(dtype, 3e-6)("cudnn"));
    // The next choice does not fall on cuDNN.
    LinearProblem p{};
    p.dtype = dtype;
    p.rows = static_cast<int32_t>(rows), p.in = static_cast<int32_t>(in), p.out = 24;
    p.has_bias = 1;
    linear_registry().force("");
    CHECK(linear_registry().choose(DeviceKind::Cuda, p).name != std::string("cudnn"));
    linear_registry().force("cudnn");
  };
  for (const DType dtype : test::kDTypes) {
    check(dtype, 9, 40);
    check(dtype, 9, 600);
  }
  CHECK(test::cuda_stream()->intact());
}

#endif

}  // namespace
}  // namespace groupconv

static void tests() {
  using namespace groupconv;
  test::cuda_stream();
  linear_registry().force("cudnn");
  weights_are_cast_once();
  replays_cast_what_has_changed();
#ifdef GROUPCONV_CUDNN_STANDIN
  settings_go_with_the_call();
  refusals_lead_to_the_tiles();
#endif
  linear_registry().force("");
}

int main() { return groupconv::test::on_a_device(tests); }
