// Reductions over blocks, and that a missing barrier would be noticed.
#include "cuda/reduce.h"

#include "cuda/testing.h"

namespace groupconv {
namespace {

constexpr int kBlocks = 3, kThreads = 256;

#ifdef GROUPCONV_EMULATED
struct NoBarrier {
  __device__ void operator()() const {}
};
#endif

// sums[block, thread]: all of a block's, twice over; largest[block, thread].
template <class Barrier>
__global__ void reduce(const float* x, double* sums, float* largest) {
  const int i = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  const double sum = cuda::reduce_block<kThreads>(double{x[i]}, cuda::Sum(), Barrier());
  sums[i] = sum + cuda::reduce_block<kThreads>(double{x[i]}, cuda::Sum(), Barrier());
  largest[i] = cuda::reduce_block<kThreads>(x[i], cuda::Largest(), Barrier());
}

template <class Barrier>
bool right() {
  const auto& stream = test::cuda_stream();
  const test::Values values = test::hashed_values(1, kBlocks * kThreads);
  const TensorPtr x = test::upload(stream, {kBlocks * kThreads}, values);
  const TensorPtr sums = make_tensor(stream, {2 * kBlocks * kThreads}, DType::Float32);
  const TensorPtr largest = make_tensor(stream, {kBlocks * kThreads}, DType::Float32);
  stream->submit([from = x->in_layout(1), to = sums->target_in_layout<double>(1),
                  top = largest->target_in_layout(1)](const ExecutionContext& context) {
    cuda::launch(context, dim3(kBlocks), dim3(kThreads), 0, reduce<Barrier>, from, to, top);
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
      all = all && std::fabs(actual[i] - 2 * sum) < 1e-9 && tops[i] == top;
  }
  return all;
}

}  // namespace
}  // namespace groupconv

int main() {
  using namespace groupconv;
  test::for_thread_orders([](const char* order) { CHECK_NOTE(right<cuda::BlockBarrier>(), order); });
#ifdef GROUPCONV_EMULATED  // a GPU may be lucky
  test::for_thread_orders([](const char* order) { CHECK_NOTE(!right<NoBarrier>(), order); });
#endif
  return test::report();
}
