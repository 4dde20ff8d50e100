// Reductions over blocks.
#include "cuda/reduce.h"

#include "cuda/testing.h"

namespace groupconv {
namespace {

constexpr int kBlocks = 3, kThreads = 256;

// sums[block, thread]: all of a block's, thrice; largest[block, thread].
__global__ void reduce(const float* x, double* sums, float* largest) {
  const int i = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  const double sum = cuda::reduce_block<kThreads>(double{x[i]}, cuda::Sum());
  sums[i] = sum + cuda::reduce_block<kThreads>(2 * double{x[i]}, cuda::Sum());
  largest[i] = cuda::reduce_block<kThreads>(x[i], cuda::Largest());
}

bool right() {
  const auto& stream = test::cuda_stream();
  const test::Values values = test::hashed_values(1, kBlocks * kThreads);
  const TensorPtr x = test::upload(stream, {kBlocks * kThreads}, values);
  const TensorPtr sums = make_tensor(stream, {2 * kBlocks * kThreads}, DType::Float32);
  const TensorPtr largest = make_tensor(stream, {kBlocks * kThreads}, DType::Float32);
  stream->submit([from = x->in_layout(1), to = sums->target_in_layout<double>(1),
                  top = largest->target_in_layout(1)](const ExecutionContext& context) {
    cuda::launch(context, dim3(kBlocks), dim3(kThreads), 0, reduce, from, to, top);
  });
  std::vector<double> actual(kBlocks * kThreads);
  stream->download(*sums, actual.data());
  const test::Values tops = test::download(*largest);
  bool all = true;
  for (int block = 0; block < kBlocks; ++block) {
    double sum = 0;
    float top = -2;
    for (int i = block * kThreads; i < (block + 1) * kThreads; ++i)
      sum += values[i], top = std::max(top, values[i]);
    for (int i = block * kThreads; i < (block + 1) * kThreads; ++i)
      all = all && std::fabs(actual[i] - 3 * sum) < 1e-9 && tops[i] == top;
  }
  return all;
}

}  // namespace
}  // namespace groupconv

static void tests() {
  using namespace groupconv;
  test::must_notice("reduce", "barrier exchange launch block thread");
  test::prove("reduce",
              [] { test::for_thread_orders([](const char* order) { CHECK_NOTE(right(), order); }); });
}

int main() { return groupconv::test::on_a_device(tests); }
