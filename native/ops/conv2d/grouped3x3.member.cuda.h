// A thread's share of a float32 grouped 3x3 convolution on CUDA cores.
//
// A team of threads computes a slab's 32 channels for one strip of neighbouring positions. A member owns
// kOutputs output channels and kInputs input channels of their group at all nine taps: 72 numbers, or 36,
// that stay in registers, weights or, in gradWeight, sums. 16 bytes that a warp reads from shared memory
// serve 24 to 29 of its multiply-adds at stride 1 and 9 at stride 2, while such a read takes the time of 8.
#pragma once
#include "cuda/element.h"
#include "cuda/reduce.h"
#include "ops/conv2d/grouped3x3.stage.cuda.h"

namespace groupconv::cuda::grouped3x3 {

// Every input channel of a group meets every output channel in one of kShares members.
template <int kChannelsPerGroup, int kInputChannels, int kOutputChannels>
struct Team {
  static constexpr int kPerGroup = kChannelsPerGroup, kInputs = kInputChannels, kOutputs = kOutputChannels;
  static constexpr int kValues = 9 * kInputs * kOutputs;  // [tap][input][output]
  // Members with the same outputs: lanes of one warp, so that they can add up.
  static constexpr int kShares = kPerGroup / kInputs;
  // Lanes next to each other with different outputs and the same inputs: they read the same address, so that
  // half a warp's reads of 16 bytes are one transaction.
  static constexpr int kSide = std::min(kPerGroup / kOutputs, kWarp / kShares);
  static constexpr int kMembers = kSlab<float> / kOutputs * kShares;
  static constexpr int kTeams = kThreads / kMembers;
};

template <class Team>
struct Member {
  int team, share;
  int output, input;  // first channels within the slab

  __device__ __forceinline__ explicit Member(unsigned thread) {  // unsigned divisions are shifts
    const unsigned member = thread % Team::kMembers, side = member % Team::kSide;
    const unsigned above = member / (Team::kSide * Team::kShares);
    const unsigned first = (above * Team::kSide + side) * Team::kOutputs;
    team = static_cast<int>(thread / Team::kMembers);
    share = static_cast<int>(thread / Team::kSide % Team::kShares);
    output = static_cast<int>(first);
    input = static_cast<int>(first / Team::kPerGroup * Team::kPerGroup) + share * Team::kInputs;
  }
};

// kCount values of a pixel or position, from shared memory.
template <int kCount>
__device__ __forceinline__ void read_values(float (&values)[kCount], const unsigned char* from) {
  constexpr int kWidth = std::min(kCount, kPackWidth<float>);
#pragma unroll
  for (int i = 0; i < kCount; i += kWidth) {
    const auto pack = load_pack<kWidth>(reinterpret_cast<const float*>(from) + i);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) values[i + j] = pack.element[j];
  }
}

// Adds up the shares' sums: a member is left with its part of them, from sums[share * kCount / kShares] on,
// in the first places. In halves, always in this order. For whole warps.
template <class Team, Flaw kFlaw, int kCount, int kShares = Team::kShares>
__device__ __forceinline__ void add_shares(float (&sums)[kCount], int share) {
  static_assert(kCount % Team::kShares == 0);
  if constexpr (kShares > 1) {
    constexpr int kHalf = kCount * kShares / Team::kShares / 2;
    const bool upper = share & (kShares / 2);
#pragma unroll
    for (int i = 0; i < kHalf; ++i) {
      const float given = upper ? sums[i] : sums[i + kHalf], kept = upper ? sums[i + kHalf] : sums[i];
      const float received = __shfl_xor_sync(0xffffffffu, given, Team::kSide * kShares / 2);
      sums[i] = kFlaw == Flaw::OneShare ? kept : kept + received;
    }
    add_shares<Team, kFlaw, kCount, kShares / 2>(sums, share);
  }
}

}  // namespace groupconv::cuda::grouped3x3
