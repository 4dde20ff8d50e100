// gradWeight's second pass: what the blocks of the first one left is added up in a fixed order and put where
// it belongs in [K, C / groups, 3, 3].
#pragma once
#include "cuda/launch.h"

namespace groupconv::cuda::grouped3x3 {

// What a block of the tensor-core kernels leaves: [block of a slab][unit][value][lane], units of all slabs.
// Of a lane's 72 sums [tap][slice of 8 input channels][4], groups of 4 and 8 need those alone whose 8 output
// channels are the slice's: 36.
struct Partials {
  int per_group, units;
  // Dense squares of 16 channels, or of 32 in four units.
  Partials(int channels, int per_group)
      : per_group(per_group), units(channels / 16 * (per_group <= 16 ? 1 : 2)) {}
  __host__ __device__ __forceinline__ bool diagonal() const { return per_group <= 8; }
  __host__ __device__ __forceinline__ int values() const { return diagonal() ? 36 : 72; }
  __host__ __device__ __forceinline__ int of_block() const { return units * values() * 32; }
};

template <int kSquare>
struct SquarePartials : Partials {
  explicit SquarePartials(const Partials& partials) : Partials(partials) {}

  // Where the sum at `at` of a block's partials belongs; negative: between groups.
  __device__ __forceinline__ int64_t place_of(int at) const {
    constexpr int kSide = 16, kSides = kSquare / kSide;
    const int lane = at % 32, value = at / 32 % values(), unit = at / 32 / values();
    const int tap = diagonal() ? value / 4 : value / 8, i = value % 4;
    const int slice = diagonal() ? i / 2 : value / 4 % 2;
    const int quarter = unit % (kSides * kSides), square = unit / (kSides * kSides) * kSquare;
    const int k = square + quarter / kSides * kSide + lane / 4 + i / 2 * 8;
    const int c = square + quarter % kSides * kSide + slice * 8 + lane % 4 * 2 + i % 2;
    if (k / per_group != c / per_group) return -1;
    return (int64_t{k} * per_group + c % per_group) * 9 + tap;
  }
};

// target (+)= the sums over `count` blocks of what they left: eight threads an element, each a part of the
// blocks, then one adds up theirs; always in this order.
constexpr int kAdders = 8;
template <class Layout>
__global__ void __launch_bounds__(kThreads)
    add_partials(Layout layout, int count, const float* __restrict__ partial, bool accumulate,
                 float* target) {
  constexpr int kElements = kThreads / kAdders;  // a warp's: 128 bytes
  __shared__ float sums[kAdders][kElements];
  const int element = threadIdx.x % kElements, adder = threadIdx.x / kElements;
  const int at = blockIdx.x * kElements + element;
  float sum = 0;
#pragma unroll 8
  for (int block = adder; block < count; block += kAdders)
    sum += partial[int64_t{block} * layout.of_block() + at];
  sums[adder][element] = sum;
  __syncthreads();
  if (adder != 0) return;
  const int64_t place = layout.place_of(at);
  if (place < 0) return;
  sum = accumulate ? target[place] : 0;
#pragma unroll
  for (int from = 0; from < kAdders; ++from) sum += sums[from][element];
  target[place] = sum;
}

// The launch of that, on `blocks` blocks' partials.
template <class Layout>
void queue_add_partials(const Layout& layout, unsigned blocks, const float* partial, bool accumulate,
                        float* target, const ExecutionContext& context) {
  launch(context, dim3(static_cast<unsigned>(layout.of_block()) / (kThreads / kAdders)), kThreads, 0,
         add_partials<Layout>, layout, static_cast<int>(blocks), partial, accumulate, target);
}

}  // namespace groupconv::cuda::grouped3x3
