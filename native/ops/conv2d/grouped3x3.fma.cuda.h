// What forward and gradInput of the float32 kernels share: their shapes, a member's weights, and its stores.
#pragma once
#include "cuda/activate.h"
#include "ops/conv2d/grouped3x3.feed.cuda.h"
#include "ops/conv2d/grouped3x3.member.cuda.h"
#include "ops/conv2d/grouped3x3.prepare.cuda.h"

namespace groupconv::cuda::grouped3x3 {

// kTwoColumns: each position has two columns of the target, as in gradInput at stride 2. 8 input channels of
// 4 positions, or 4 of 8: sums to be added up between shares, or registers.
template <int kChannels, int kPixelsPerPosition, bool kTwoColumns>
struct FmaTile : Team<kChannels, kPixelsPerPosition == 2 ? 4 : std::min(kChannels, 8), 1> {
  using Members = Team<kChannels, kPixelsPerPosition == 2 ? 4 : std::min(kChannels, 8), 1>;
  using T = float;
  static constexpr int kStride = kPixelsPerPosition;
  static constexpr bool kSpreads = kTwoColumns;
  static constexpr int kReach = kSpreads ? 1 : 3 - kStride;  // pixels beyond kStride for each position
  static constexpr int kPositions = 32 / Members::kInputs;   // of a member
  static constexpr int kSegments = Members::kTeams * kPositions / kSegment;
  static constexpr int kPixels = kSegments * (kSegment * kStride + kReach);
  static constexpr int kStages = kPixels <= 48 ? 8 : kPixels <= 80 ? 4 : 3;
};

struct FmaOperands {
  const float* source;
  const Pack<float, 4>* weights;  // [slab][values / 4][member]
  const float* bias;              // null: none
  const float* addend;            // like the target, added before the activation, may be it; null: none
  float* target;
  Activation activation;
};

template <class Team>
__global__ void __launch_bounds__(kThreads)
    prepare_fma(int64_t packs, int channels, WeightReader read, Pack<float, 4>* to) {
  constexpr int kPacks = Team::kValues / 4;
  GROUPCONV_GRID_STRIDE(i, packs) {
    const Member<Team> member(static_cast<unsigned>(i % Team::kMembers));
    const int first = static_cast<int>(i / Team::kMembers % kPacks) * 4;
    const int slab = static_cast<int>(i / (Team::kMembers * kPacks)) * kSlab<float>;
    const int output = slab + member.output, input = slab + member.input + first % Team::kInputs;
    Pack<float, 4> pack{};
    if (output < channels)
      for (int j = 0; j < 4; ++j) pack.element[j] = read(output, input + j, first / Team::kInputs);
    to[i] = pack;
  }
}

// Of a member's output channel.
template <class Team>
struct Weights {
  float value[9][Team::kInputs];

  __device__ __forceinline__ void load(const FmaOperands& o) {
    constexpr int kPacks = Team::kValues / 4;
    const Pack<float, 4>* const from =
        o.weights + int64_t{blockIdx.y} * kPacks * Team::kMembers + threadIdx.x % Team::kMembers;
#pragma unroll
    for (int i = 0; i < kPacks; ++i) {
      const auto pack = from[i * Team::kMembers];
#pragma unroll
      for (int j = 0; j < 4; ++j) value[4 * i / Team::kInputs][4 * i % Team::kInputs + j] = pack.element[j];
    }
  }
  // sum += pixel times one tap's weights.
  __device__ __forceinline__ void add_tap(float& sum, const float (&pixel)[Team::kInputs], int tap) const {
#pragma unroll
    for (int input = 0; input < Team::kInputs; ++input) sum = fmaf(pixel[input], value[tap][input], sum);
  }
};

template <int kCount>
__device__ __forceinline__ void fill(float (&sums)[kCount], float value) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) sums[i] = value;
}

// An address that is computed here, from the one before it: the compiler would keep the distances of all from
// the first in registers, and spill.
__device__ __forceinline__ float* from_here(float* address) {
#ifndef GROUPCONV_EMULATED
  asm volatile("" : "+l"(address));
#endif
  return address;
}

// Where a member's strip is in a stage, and what it stores of the target. kColumns: of the target in the
// strip.
template <class Shape, int kColumns, Flaw kFlaw>
struct Targets {
  using Members = typename Shape::Members;
  static constexpr int kOwn = kColumns / Members::kShares;  // columns that a member stores
  static constexpr int kPerPosition = Shape::kSpreads ? 2 : 1;

  int columns;  // that are left from the member's first column on; negative or 0: none
  int offset;   // elements from a row's beginning in the run's first image to what it stores

  // Bytes into a stage of the first pixel that the strip reads.
  static __device__ __forceinline__ int in_stage(const Lines& lines) {
    const Member<Members> member(threadIdx.x);
    const Position at = first_position(lines, member);
    return (std::max(at.image, 0) * lines.width + at.column * Shape::kStride) * kPitch +
           member.input * static_cast<int>(sizeof(float));
  }
  // What a sum begins with: one of the shares has the bias.
  static __device__ __forceinline__ float bias(const Lines& lines, const FmaOperands& o) {
    const Member<Members> member(threadIdx.x);
    const int channel = blockIdx.y * kSlab<float> + member.output;
    return o.bias && member.share == 0 && channel < lines.channels ? o.bias[channel] : 0;
  }

  template <class Walk>
  __device__ __forceinline__ void aim(const Lines& lines, const Walk& run) {
    const Member<Members> member(static_cast<unsigned>(computed_here(threadIdx.x)));
    const Position place = first_position(lines, member);
    const int column = kPerPosition * (run.column + place.column) + member.share * kOwn;
    const int channel = blockIdx.y * kSlab<float> + member.output, image = run.image + place.image;
    const bool inside = place.image >= 0 && image < lines.images && channel < lines.channels;
    columns = !inside ? 0 : kFlaw == Flaw::NoTail ? kColumns : lines.target_w - column;
    offset = (place.image * lines.target_h * lines.target_w + column) * lines.channels + channel;
  }

  // A member's part of the sums, in a row of the run's images.
  __device__ __forceinline__ void store(const Lines& lines, const FmaOperands& o, int row,
                                        const float (&sums)[kColumns]) {
    float own[kColumns];
#pragma unroll
    for (int i = 0; i < kColumns; ++i) own[i] = sums[i];
    add_shares<Members, kFlaw>(own, Member<Members>(static_cast<unsigned>(computed_here(threadIdx.x))).share);
    float* to = row_of(o.target, lines, row, lines.target_w) + offset;
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      if (i < columns) {
        float value = own[i];
        if (o.addend) value += to[o.addend - o.target];
        *to = Shape::kSpreads ? value : activate(o.activation, value);
      }
      to = from_here(to + lines.channels);
    }
  }

 private:
  static __device__ __forceinline__ Position first_position(const Lines& lines, const Member<Members>& m) {
    const int first = m.team * Shape::kPositions;
    return Position(lines, first / kSegment, first % kSegment);
  }
};

}  // namespace groupconv::cuda::grouped3x3
