// The reductions of the CUDA solvers on their own, and kernels with a flaw, which must be noticed.
#include <cmath>

#include "cuda/testing.h"
#include "ops/batchNorm/batchNorm.moments.cuda.h"
#include "ops/batchNorm/batchNorm.sums.cuda.h"

namespace groupconv {
namespace {

using test::Place;
using test::Values;

constexpr int64_t kLines = 13;
__global__ void sum_block(const float* x, float* result) {
  float sums[2][1] = {{x[threadIdx.y]}, {1}};
  cuda::sum_lines(sums);
  if (threadIdx.y == 0) result[threadIdx.x] = sums[0][0] + 1000 * sums[1][0];
}
void check_sum_of_lines() {
  Values x;
  for (int64_t line = 1; line <= kLines; ++line) x.push_back(static_cast<float>(line));
  const Values expected(3, 91 + 13000);
  test::prove("sum of lines", [&] {
    test::for_thread_orders([&](const char* order) {
      const auto& stream = test::cuda_stream();
      const TensorPtr result = make_tensor(stream, {3}, DType::Float32),
                      values = test::upload(stream, {kLines}, x);
      stream->submit(
          [from = values->in_layout(1), to = result->target_in_layout(1)](const ExecutionContext& context) {
            cuda::launch(context, 1, dim3(3, kLines), 0, sum_block, from, to);
          });
      CHECK_NOTE(test::download(*result) == expected, order);
    });
  });
}

// Every part's origin becomes the first one's.
__global__ void confuse_origins(int64_t channels, float* partials) {
  using namespace cuda::batch_norm;
  partials[blockIdx.x * kMoments * channels + threadIdx.x] = partials[threadIdx.x];
}

// Of statistics of parts that lie far apart, as the kernels find them; or with one origin for all parts.
double error_of_statistics(bool one_origin) {
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
    using namespace cuda::batch_norm;
    queue_moments(p, b, sums, context);
    if (!one_origin) return;
    const cuda::Cut rows = cuda::cut(p, 4);
    cuda::launch(context, rows.parts, static_cast<unsigned>(kChannels), 0, confuse_origins, kChannels, sums);
    cuda::launch(context, cuda::finish_grid(kChannels), cuda::finish_block(), 0, finish_statistics, p,
                 rows.of, static_cast<int>(rows.parts), static_cast<const float*>(sums), b);
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
    for (const double error : {found[static_cast<size_t>(c)] / mean - 1,
                               found[static_cast<size_t>(kChannels + c)] * std::sqrt(variance) - 1}) {
      if (!std::isfinite(error)) return INFINITY;
      worst = std::max(worst, std::abs(error));
    }
  }
  return worst;
}
void check_statistics() {
  test::prove("statistics", [] {
    test::for_thread_orders([](const char* order) { CHECK_NOTE(error_of_statistics(false) < 1e-6, order); });
  });
  CHECK(!(error_of_statistics(true) < 1e-6));
}

// Whether the kernels find the CPU's dweight and dbias.
template <cuda::batch_norm::Mask mask>
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
    queue_sums<mask, float, 4>(p, b, nullptr, slopes, rests, rests + 8, context);
  });
  return test::relative_error(test::download(*dweight), test::download(*wanted[0])) <= 5e-6 &&
         test::relative_error(test::download(*dbias), test::download(*wanted[1])) <= 5e-6;
}
void check_sums() {
  using cuda::batch_norm::Mask;
  test::prove("sums", [] {
    test::for_thread_orders([](const char* order) { CHECK_NOTE(finds_sums<Mask::Recomputed>(), order); });
  });
  CHECK(!finds_sums<Mask::None>());
}

}  // namespace
}  // namespace groupconv

static void tests() {
  groupconv::test::must_notice("sum of lines", "barrier launch thread");
  groupconv::test::must_notice("statistics", "barrier launch block thread");
  groupconv::test::must_notice("sums", "barrier launch block thread");
  groupconv::check_sum_of_lines();
  groupconv::check_statistics();
  groupconv::check_sums();
}

int main() { return groupconv::test::on_a_device(tests); }
