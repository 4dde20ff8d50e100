// From a warp's sums to the target: bias, addend, activation, rounding.
#pragma once
#include "cuda/activate.h"
#include "cuda/warp_matrix.h"
#include "ops/conv2d/grouped3x3.lines.cuda.h"

namespace groupconv::cuda::grouped3x3 {

template <class T>
struct Operands {
  const T* source;
  const FragmentB* weights;
  const float* bias;  // null: none
  const T* addend;    // like the target, added before the activation, may be it; null: none
  T* target;
  Activation activation;
};

// A lane's targets of one tile, which is two segments: `kColumns` neighbouring columns for each position,
// each 2 * kSlices neighbouring channels. The weights' columns are ordered so that they are neighbours.
template <class T, int kSlices, int kColumns, Flaw kFlaw = Flaw::None>
struct Places {
  static constexpr int kChannels = 2 * kSlices;
  static constexpr int kNowhere = -1;

  int offset[2][kColumns];  // elements from the run's first position, at the slab's first channel

  // `channel`: the lane's first within the slab; negative where the warp has none.
  template <class Walk>
  __device__ __forceinline__ void aim(const Lines& lines, const Walk& run, int tile, int channel) {
    const int lane = computed_here(threadIdx.x) % 32, first = computed_here(2 * tile);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const Position at(lines, first + half, lane / 4);
      const bool inside = channel >= 0 && at.image >= 0 && run.image + at.image < lines.images;
#pragma unroll
      for (int i = 0; i < kColumns; ++i) {
        const int column = kColumns * at.column + i;
        const bool column_inside = kFlaw == Flaw::NoTail || kColumns * run.column + column < lines.target_w;
        offset[half][i] =
            inside && column_inside
                ? (at.image * lines.target_h * lines.target_w + column) * lines.channels + channel
                : kNowhere;
      }
    }
  }

  // `row`: elements up to the target row's first position.
  __device__ __forceinline__ void store(const Operands<T>& o, int64_t row, int column, int channel,
                                        const float (&sum)[kSlices][4]) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      if (offset[half][column] < 0) continue;
      const int64_t at = row + offset[half][column];
      float value[kChannels];
#pragma unroll
      for (int i = 0; i < kChannels; ++i) value[i] = sum[i / 2][2 * half + i % 2];
      if (o.bias) {
        const auto bias = load_pack<kChannels>(o.bias + blockIdx.y * kSlab<T> + channel);
#pragma unroll
        for (int i = 0; i < kChannels; ++i) value[i] += bias.element[i];
      }
      if (o.addend) {
        const auto addend = load_pack<kChannels>(o.addend + at);
#pragma unroll
        for (int i = 0; i < kChannels; ++i) value[i] += to_float(addend.element[i]);
      }
      Pack<T, kChannels> pack;
#pragma unroll
      for (int i = 0; i < kChannels; ++i) pack.element[i] = from_float<T>(activate(o.activation, value[i]));
      store_pack(o.target + at, pack);
    }
  }
};

}  // namespace groupconv::cuda::grouped3x3
