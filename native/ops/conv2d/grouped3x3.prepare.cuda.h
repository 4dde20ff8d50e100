// Weights as the kernels' B fragments: [unit][tap][step][slice][lane], two words each.
//
// Column n of a unit's slice is output channel 2 * kSlices * (n / 2) + 2 * slice + n % 2 of the unit: a lane,
// which holds columns 2 j and 2 j + 1 of every slice, so holds neighbouring channels.
#pragma once
#include "ops/conv2d/grouped3x3.convolve.cuda.h"
#include "ops/conv2d/grouped3x3.spread.cuda.h"

namespace groupconv::cuda::grouped3x3 {

// The weight from source to target channel, at a tap of the kernel's own order, from [K, C / groups, 3, 3].
// gradInput swaps inputs and outputs; at stride 1 it is a forward convolution with the taps in reverse.
struct WeightReader {
  const float* weight;
  int per_group;
  bool grad_input, reverse;

  __device__ __forceinline__ float operator()(int target, int source, int tap) const {
    if (target / per_group != source / per_group) return 0;
    const int output = grad_input ? source : target, input = grad_input ? target : source;
    return weight[(int64_t{output} * per_group + input % per_group) * 9 + (reverse ? 8 - tap : tap)];
  }
};

template <class Shape>
__global__ void __launch_bounds__(kThreads) prepare(int64_t fragments, WeightReader read, FragmentB* to) {
  using T = typename Shape::T;
  GROUPCONV_GRID_STRIDE(i, fragments) {
    const int lane = static_cast<int>(i % 32), slice = static_cast<int>(i / 32 % Shape::kSlices);
    const int step = static_cast<int>(i / (32 * Shape::kSlices) % Shape::kSteps);
    const int tap = static_cast<int>(i / (32 * Shape::kSlices * Shape::kSteps) % 9);
    const int unit = static_cast<int>(i / (32 * Shape::kSlices * Shape::kSteps * 9));
    const int column = lane / 4;
    const int target = unit * Shape::kUnit + 2 * Shape::kSlices * (column / 2) + 2 * slice + column % 2;
    const int square = unit * Shape::kUnit / Shape::kSquare * Shape::kSquare;
    FragmentB fragment;
    for (int word = 0; word < 2; ++word) {
      constexpr int kPerWord = 4 / sizeof(T);
      const int source = square + step * kStepElements<T> + (lane % 4 + 4 * word) * kPerWord;
      if constexpr (sizeof(T) == 4)
        fragment.word[word] = to_tf32(float_to_bits(read(target, source, tap)));
      else
        fragment.word[word] = packed_word<T>(read(target, source, tap), read(target, source + 1, tap));
    }
    to[i] = fragment;
  }
}

}  // namespace groupconv::cuda::grouped3x3
