// The emulator itself: barriers, collectives, and that it notices what a GPU would get wrong or hang on.
#include <vector>

#include "core/check.h"
#include "cuda/async_copy.h"
#include "cuda/element.h"
#include "cuda/emulator/flaws.h"
#include "cuda/launch.h"
#include "cuda/warp_matrix.h"

namespace groupconv::cuda {
namespace {

struct HostContext final : CudaContext {
  Faults* faults() const override { return nullptr; }
  void* scratch(size_t) const override { return nullptr; }
  void* allocate(size_t) const override { return nullptr; }
  size_t make_room() const override { return 0; }
  cudnn::Session* cudnn() const override { return nullptr; }
};
const HostContext context;

// What a launch did wrong, in words; empty where it went well.
template <class... Parameters, class... Arguments>
std::string failure_of(dim3 grid, dim3 block, size_t shared, void (*kernel)(Parameters...),
                       const Arguments&... arguments) {
  std::string told;
  try {
    launch(context, grid, block, shared, kernel, arguments...);
  } catch (const Error& error) {
    told = error.message();
  }
  emulator::forget_failure();
  return told;
}

// Sums each block's values through shared memory; without the barrier the sum depends on the threads' order.
template <bool Barrier>
__global__ void block_sums(const float* values, float* sums) {
  float* shared = shared_memory<float>();
  shared[threadIdx.x] = values[blockIdx.x * blockDim.x + threadIdx.x];
  if (Barrier) __syncthreads();
  if (threadIdx.x == 0) {
    float sum = 0;
    for (unsigned i = 0; i < blockDim.x; ++i) sum += shared[i];
    sums[blockIdx.x] = sum;
  }
}

// A butterfly over the warp's lanes.
__global__ void warp_sums(const float* values, float* sums) {
  float sum = values[threadIdx.x];
  for (int bits = 16; bits > 0; bits /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, bits);
  sums[threadIdx.x] = sum;
}

__global__ void votes(uint32_t* ballots) {
  const uint32_t ballot = __ballot_sync(0xffffffffu, threadIdx.x % 3 == 0);
  const unsigned below = __shfl_down_sync(0xffffffffu, threadIdx.x, 1);
  ballots[threadIdx.x] = ballot + (threadIdx.x % 32 < 31 ? below - threadIdx.x - 1 : below - threadIdx.x);
}

__global__ void half_a_barrier() {
  if (threadIdx.x % 2) __syncthreads();
  __shfl_xor_sync(0xffffffffu, 1, 1);
}

__global__ void two_masks() { __shfl_xor_sync(threadIdx.x < 16 ? 0xffffu : 0xffffffffu, 1, 1); }

__global__ void early_exit(int* reached) {
  if (threadIdx.x >= 40) return;
  __syncthreads();
  if (threadIdx.x == 0) ++*reached;
}

// Who runs when, between the first barrier and the second.
__global__ void turns(int* taken, unsigned* threads) {
  __syncthreads();
  threads[atomicAdd(taken, 1)] = threadIdx.x;
  __syncthreads();
}

void test_barriers() {
  const std::vector<float> values = test::hashed_values(1, 4 * 96);
  std::vector<float> expected(4, 0.0f);
  for (int i = 0; i < 4 * 96; ++i) expected[i / 96] += values[i];
  for (emulator::Order order : {emulator::Order::Forward, emulator::Order::Backward}) {
    emulator::order = order;
    std::vector<float> sums(4);
    launch(context, 4, 96, 96 * sizeof(float), block_sums<true>, values.data(), sums.data());
    CHECK(sums == expected);
    // Thread 0 runs first, among poison, or last, by luck: that the orders disagree is how a race is found.
    launch(context, 4, 96, 96 * sizeof(float), block_sums<false>, values.data(), sums.data());
    CHECK((sums == expected) == (order == emulator::Order::Backward));
    int taken = 0;
    std::vector<unsigned> threads(96);
    launch(context, 1, 96, 0, turns, &taken, threads.data());
    for (unsigned i = 0; i < 96; ++i) CHECK(threads[i] == (order == emulator::Order::Forward ? i : 95 - i));
  }
  emulator::order = emulator::Order::Forward;
  int reached = 0;
  launch(context, 3, 64, 0, early_exit, &reached);
  CHECK(reached == 3);
}

void test_collectives() {
  const std::vector<float> values = test::hashed_values(2, 64);
  std::vector<float> sums(64);
  launch(context, 1, 64, 0, warp_sums, values.data(), sums.data());
  bool right = true;
  for (int i = 0; i < 64; ++i) {
    double sum = 0;
    for (int lane = 0; lane < 32; ++lane) sum += values[i / 32 * 32 + lane];
    right = right && std::fabs(sums[i] - sum) < 1e-5 && sums[i] == sums[i / 32 * 32];
  }
  CHECK(right);
  std::vector<uint32_t> ballots(64);
  launch(context, 1, 64, 0, votes, ballots.data());
  for (int i = 0; i < 64; ++i) {
    uint32_t expected = 0;
    for (int lane = 0; lane < 32; ++lane)
      if ((i / 32 * 32 + lane) % 3 == 0) expected |= 1u << lane;
    CHECK(ballots[i] == expected);
  }
}

void test_misuse() {
  CHECK(failure_of(1, 32, 0, half_a_barrier).find("different barriers") != std::string::npos);
  CHECK(!failure_of(1, 32, 0, two_masks).empty());
  int reached = 0;
  CHECK(failure_of(1, 64, 0, early_exit, &reached).empty());
}

__global__ void nothing() {}
__global__ void load_four(const float* from, float* to) { *to = load_pack<4>(from).element[0]; }
__global__ void store_two(BFloat16* to) { store_pack(to, Pack<BFloat16, 2>{}); }
__global__ void copy_sixteen(const float* from, int offset) {
  copy_async(shared_memory<float>() + offset, from, true);
  commit_copies();
  wait_copies<0>();
}
__global__ void load_matrix(int row_bytes, int offset) {
  load_matrices(shared_memory<unsigned char>() + threadIdx.x * row_bytes + offset);
}
__global__ void write_shared(int at) { shared_memory<float>()[at] = 0; }

// What a GPU does not launch at all, it tells once: the next launch goes on.
void test_limits() {
  const auto refuses = [](dim3 grid, dim3 block, size_t shared) {
    const bool refused = !failure_of(grid, block, shared, nothing).empty();
    CHECK(failure_of(1, 1, 0, nothing).empty());
    return refused;
  };
  CHECK(!refuses(dim3(1, 2, 2), dim3(16, 32, 2), 99 * 1024));
  CHECK(refuses(dim3(1, 65536), 1, 0) && refuses(dim3(1, 1, 65536), 1, 0) && refuses(dim3(0), 1, 0));
  CHECK(refuses(1, 1025, 0) && refuses(1, dim3(1, 1, 65), 0) && refuses(1, dim3(32, 33), 0) &&
        refuses(1, 0, 0));
  CHECK(refuses(1, 1, 99 * 1024 + 1));
  emulator::only_checked = true;
  CHECK(!refuses(dim3(0x7fffffff, 65535, 65535), 1024, 0));
  CHECK(refuses(dim3(0x80000000u), 1, 0));
  emulator::only_checked = false;
}

void test_addresses() {
  alignas(16) float floats[8] = {};
  alignas(4) BFloat16 narrows[4] = {};
  float* const values = floats;
  BFloat16* const narrow = narrows;
  const auto fails = [](const std::string& told, const char* with) {
    return told.find(with) != std::string::npos;
  };
  CHECK(failure_of(1, 1, 0, load_four, values + 4, values).empty());
  CHECK(fails(failure_of(1, 1, 0, load_four, values + 2, values), "16 bytes"));
  CHECK(failure_of(1, 1, 0, store_two, narrow + 2).empty());
  CHECK(fails(failure_of(1, 1, 0, store_two, narrow + 1), "4 bytes"));
  CHECK(failure_of(1, 1, 64, copy_sixteen, values, 12).empty());
  CHECK(fails(failure_of(1, 1, 64, copy_sixteen, values + 1, 12), "misaligned"));
  CHECK(fails(failure_of(1, 1, 64, copy_sixteen, values, 2), "misaligned"));
  CHECK(fails(failure_of(1, 1, 64, copy_sixteen, values, 16), "outside"));
  CHECK(failure_of(1, 32, 32 * 48, load_matrix, 48, 32).empty());
  CHECK(fails(failure_of(1, 32, 32 * 48, load_matrix, 40, 0), "misaligned"));
  CHECK(fails(failure_of(1, 32, 32 * 48, load_matrix, 48, 48), "outside"));
  CHECK(failure_of(1, 1, 40, write_shared, 9).empty());
  CHECK(fails(failure_of(1, 1, 40, write_shared, 10), "outside"));
  CHECK(fails(failure_of(1, 1, 40, write_shared, -1), "outside"));
}

// Every flaw that can be, one by one, where it is watched.
void test_flaws() {
  const std::vector<float> values = test::hashed_values(3, 2 * 64);
  std::vector<float> right(2), lanes(64), sums(2), swapped(64);
  const auto run = [&] {
    sums.assign(2, 0), swapped.assign(64, 0);
    launch(context, 2, 64, 64 * sizeof(float), block_sums<true>, values.data(), sums.data());
    launch(context, 1, 64, 0, warp_sums, values.data(), swapped.data());
  };
  run();
  right = sums, lanes = swapped;
  emulator::note_places();
  {
    const emulator::Watched watched;
    run();
  }
  const std::vector<emulator::Flaw> places = emulator::noted_places();
  std::string kinds;
  for (const emulator::Flaw& flaw : places) {
    emulator::set_flaw(flaw);
    {
      const emulator::Watched watched;
      try {
        run();
      } catch (const Error&) {
        sums.clear();
      }
    }
    emulator::forget_failure();
    CHECK(sums != right || swapped != lanes);
    run();
    CHECK(sums == right && swapped == lanes);
    emulator::clear_flaw();
    if (kinds.find(emulator::kWrongs[static_cast<size_t>(flaw.what)]) == std::string::npos)
      kinds += emulator::kWrongs[static_cast<size_t>(flaw.what)] + std::string(" ");
  }
  CHECK_NOTE(kinds == "barrier exchange launch block thread ", kinds);
}

// Against the definition: the nearest representable number, ties to even.
void test_elements() {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const Float16 half{static_cast<uint16_t>(bits)};
    const float value = to_float(half);
    if (value == value) CHECK(from_float<Float16>(value).bits == bits);
    const BFloat16 wide{static_cast<uint16_t>(bits)};
    const float other = to_float(wide);
    if (other == other) CHECK(from_float<BFloat16>(other).bits == bits);
  }
  CHECK(from_float<Float16>(1 + 1 / 2048.0f).bits == 0x3c00);  // a tie, to even
  CHECK(from_float<Float16>(1 + 3 / 2048.0f).bits == 0x3c02);
  CHECK(from_float<Float16>(65520.0f).bits == 0x7c00 && from_float<Float16>(65519.0f).bits == 0x7bff);
  CHECK(from_float<Float16>(3e-8f).bits == 1 && from_float<Float16>(2.9e-8f).bits == 0);
  CHECK(to_float(from_float<Float16>(NAN)) != to_float(from_float<Float16>(NAN)));
  CHECK(from_float<BFloat16>(1 + 1 / 256.0f).bits == 0x3f80 &&
        from_float<BFloat16>(1 + 3 / 256.0f).bits == 0x3f82);
}

}  // namespace
}  // namespace groupconv::cuda

int main() {
  groupconv::cuda::test_barriers();
  groupconv::cuda::test_collectives();
  groupconv::cuda::test_misuse();
  groupconv::cuda::test_limits();
  groupconv::cuda::test_addresses();
  groupconv::cuda::test_flaws();
  groupconv::cuda::test_elements();
  return groupconv::test::report();
}
