// The reductions of the CUDA solvers on their own, and kernels with a flaw, which must be noticed.
#include <cmath>

#include "cuda/testing.h"
#include "ops/batchNorm/batchNorm.moments.cuda.h"
#include "ops/batchNorm/batchNorm.sums.cuda.h"

namespace groupconv {
namespace {

using test::Place;
using test::Values;

// The reduction, with its barriers and without: the check must tell them apart.
template <bool Barriers>
__global__ void sum_block(float* result) {
  float sums[2][1] = {{static_cast<float>(threadIdx.y + 1)}, {1}};
  cuda::sum_lines<Barriers>(sums);
  if (threadIdx.y == 0) result[threadIdx.x] = sums[0][0] + 1000 * sums[1][0];
}
template <bool Barriers>
Values sum_on_device() {
  const auto& stream = test::cuda_stream();
  const TensorPtr result = make_tensor(stream, {3}, DType::Float32);
  stream->submit([data = result->target_in_layout(1)](const ExecutionContext& context) {
    cuda::launch(context, 1, dim3(3, 13), 0, sum_block<Barriers>, data);
  });
  return test::download(*result);
}
void check_barriers() {
  const Values expected(3, 91 + 13000);
  int wrong = 0;
  test::for_thread_orders([&](const char* order) {
    CHECK_NOTE(sum_on_device<true>() == expected, order);
    wrong += sum_on_device<false>() != expected;
  });
#ifdef GROUPCONV_EMULATED  // a GPU may be lucky
  CHECK(wrong > 0);
#endif
}

// Statistics of parts that lie far apart, as the kernels find them, and with a flaw.
template <cuda::batch_norm::Flaw kFlaw>
double error_of_statistics() {
  constexpr int64_t kImages = 40, kChannels = 8, kPixels = 64;
  const Shape shape{kImages, kChannels, 8, 8};
  Values x = test::hashed_values(1, static_cast<size_t>(shape.size()));
  for (size_t i = 0; i < x.size(); ++i) x[i] += static_cast<float>(i / (kChannels * kPixels));
  const auto& stream = test::cuda_stream();
  const TensorPtr on_device = Place{stream, DType::Float32}.activation(shape, x);
  BatchNormProblem p{};
  p.pass = BatchNormPass::Train, p.dtype = DType::Float32;
  p.n = kImages, p.c = kChannels, p.pixels = kPixels, p.block = kChannels;
  const size_t floats = cuda::batch_norm::moments_bytes(p) / sizeof(float);
  const TensorPtr result = make_tensor(stream, {4, kChannels}, DType::Float32),
                  partials = make_tensor(stream, {static_cast<int64_t>(floats)}, DType::Float32);
  BatchNormBuffers b{};
  b.x = on_device->in_layout(kChannels);
  float* const statistics = result->target_in_layout(1);
  b.mean = statistics, b.inv_std = b.mean + kChannels, b.scale = b.inv_std + kChannels;
  b.shift = b.scale + kChannels;
  stream->submit([=, sums = partials->target_in_layout(1)](const ExecutionContext& context) {
    cuda::batch_norm::queue_moments<kFlaw>(p, b, sums, context);
  });
  const Values found = test::download(*result);
  double worst = 0;
  for (int64_t c = 0; c < kChannels; ++c) {
    double sum = 0, squares = 0;
    for (int64_t n = 0; n < kImages; ++n)
      for (int64_t i = 0; i < kPixels; ++i) {
        const double value = x[static_cast<size_t>((n * kChannels + c) * kPixels + i)];
        sum += value, squares += value * value;
      }
    const double count = kImages * kPixels, mean = sum / count, variance = squares / count - mean * mean;
    worst = std::max({worst, std::abs(found[static_cast<size_t>(c)] / mean - 1),
                      std::abs(found[static_cast<size_t>(kChannels + c)] * std::sqrt(variance) - 1)});
    if (!(worst < 1e9)) return INFINITY;
  }
  return worst;
}
void check_statistics() {
  using cuda::batch_norm::Flaw;
  int missing = 0, one = 0;
  test::for_thread_orders([&](const char* order) {
    CHECK_NOTE(error_of_statistics<Flaw::None>() < 1e-6, order);
    missing += !(error_of_statistics<Flaw::NoBarrier>() < 1e-6);
    one += !(error_of_statistics<Flaw::OneOrigin>() < 1e-6);
  });
  CHECK(one == 2);
#ifdef GROUPCONV_EMULATED  // a GPU may be lucky
  CHECK(missing > 0);
#endif
}

// dweight and dbias as the kernels find them, and with a flaw: whether they are those of the CPU.
template <cuda::batch_norm::Flaw kFlaw>
bool finds_sums() {
  using namespace cuda::batch_norm;
  const Shape shape{40, 8, 8, 8}, channels{8};  // three parts
  const Place cpu{test::cpu_stream(), DType::Float32}, cuda{test::cuda_stream(), DType::Float32};
  const auto train = [&](const Place& on) {
    return batch_norm_train(*on.activation(shape, 1), nullptr, nullptr, nullptr, nullptr, 0.1f, 1e-5f,
                            nullptr, Activation::Relu)
        .statistics;
  };
  const TensorPtr wanted[2] = {cpu.parameter_target(channels), cpu.parameter_target(channels)};
  batch_norm_grad(*cpu.activation(shape, 7), *cpu.activation(shape, 1), nullptr, *train(cpu), true,
                  Activation::Relu, {}, {}, {wanted[0].get()}, {wanted[1].get()});
  const TensorPtr x = cuda.activation(shape, 1), dy = cuda.activation(shape, 7), statistics = train(cuda),
                  dweight = cuda.parameter_target(channels), dbias = cuda.parameter_target(channels);
  BatchNormProblem p{};
  p.pass = BatchNormPass::Grad, p.dtype = DType::Float32, p.activation = Activation::Relu, p.training = true;
  p.n = 40, p.c = p.block = 8, p.pixels = 64;
  const TensorPtr memory = cuda.parameter_target({static_cast<int64_t>(sums_bytes(p) / sizeof(float))});
  BatchNormBuffers b{};
  b.x = x->in_layout(8), b.dy = dy->in_layout(8);
  b.mean = const_cast<float*>(statistics->in_layout(1)), b.inv_std = b.mean + 8, b.scale = b.inv_std + 8;
  b.shift = b.scale + 8;
  b.dweight = dweight->target_in_layout(1), b.dbias = dbias->target_in_layout(1);
  float *const slopes = memory->target_in_layout(1), *const rests = slopes + 8;
  cuda.stream->submit([=](const ExecutionContext& context) {
    queue_sums<Mask::Recomputed, float, 4, kFlaw>(p, b, nullptr, slopes, rests, rests + 8, context);
  });
  return test::relative_error(test::download(*dweight), test::download(*wanted[0])) <= 5e-6 &&
         test::relative_error(test::download(*dbias), test::download(*wanted[1])) <= 5e-6;
}
void check_sums() {
  using cuda::batch_norm::Flaw;
  int missing = 0, unmasked = 0;
  test::for_thread_orders([&](const char* order) {
    CHECK_NOTE(finds_sums<Flaw::None>(), order);
    missing += !finds_sums<Flaw::NoBarrier>();
    unmasked += !finds_sums<Flaw::NoMask>();
  });
  CHECK(unmasked == 2);
#ifdef GROUPCONV_EMULATED  // a GPU may be lucky
  CHECK(missing > 0);
#endif
}

}  // namespace
}  // namespace groupconv

int main() {
  groupconv::check_barriers();
  groupconv::check_statistics();
  groupconv::check_sums();
  return groupconv::test::report();
}
