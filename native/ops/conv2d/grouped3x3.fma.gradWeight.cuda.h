// float32 gradWeight: a member's 72 sums stay in registers while its block walks down the images; row h of x
// meets, through the kernel's row r, the row of dy that came r rows of x before.
//
// Teams take different strips of a line. In the end they add up in halves, and every block leaves its sums to
// a second kernel, which adds those up in a fixed order.
#pragma once
#include "ops/conv2d/grouped3x3.feed.cuda.h"
#include "ops/conv2d/grouped3x3.member.cuda.h"
#include "ops/conv2d/grouped3x3.partials.cuda.h"

namespace groupconv::cuda::grouped3x3 {

// In groups of 4, where a line has most pixels, half the sums and twice the positions leave registers to aim
// at them.
template <int kChannels>
using WeightTeam = Team<kChannels, 4, kChannels == 4 ? 1 : 2>;

template <int kChannels, int kPixelsPerPosition>
struct FmaWeightTile : WeightTeam<kChannels> {
  using T = float;
  using Members = WeightTeam<kChannels>;
  static constexpr int kStride = kPixelsPerPosition, kReach = 3 - kStride;
  static constexpr int kStrip = 8 / Members::kOutputs;  // positions of a member
  static constexpr int kPositions = Members::kTeams * kStrip, kSegments = kPositions / kSegment;
  static constexpr int kPixels = kSegments * (kSegment * kStride + kReach);
  // Rows on their way: as many as let two blocks fit the shared memory of an A100.
  static constexpr int kAhead = kPositions <= 16 ? 5 : kPositions <= 32 ? 3 : 3 - kStride;
  // Slots of two rings: the row of x at hand; of dy, with the two before it.
  static constexpr int kSlotsX = kAhead + 1, kSlotsDy = kAhead + 3;
};

struct FmaWeightOperands {
  const float *x, *dy;
  float* partial;  // [block of a slab][slab][value][member]
};

// The row of dy that comes with row h of x is the kernel's row 0's; not all rows of x have one.
template <class Walk>
__device__ __forceinline__ bool dy_comes(const Walk& run, int stride) {
  return (run.h + 1) % stride == 0 && (run.h + 1) / stride <= run.last;
}

// Rows of x and of dy on their way into two rings.
template <class Shape, class Walk, Flaw kFlaw>
struct FmaWeightRings {
  unsigned char *const x_memory = shared_memory<unsigned char>(), *const dy_memory;
  Slot<Shape::kSlotsX> x_slot;  // at hand
  Slot<Shape::kSlotsDy> dy_slot{Shape::kPositions * kPitch};
  Walk walk;
  Feed<Shape::kPixels, Shape::kStride, 1, kFlaw> x;
  Feed<Shape::kPositions, 1, 0> dy;

  __device__ __forceinline__ explicit FmaWeightRings(const Lines& lines)
      : dy_memory(x_memory + Shape::kSlotsX * lines.images_abreast * lines.width * kPitch),
        x_slot{lines.images_abreast * lines.width * kPitch} {
    walk.start(lines);
  }
  __device__ __forceinline__ void aim(const Lines& lines) {
    x.aim(lines, walk, lines.source_h, lines.source_w, lines.width, lines.by_width);
    dy.aim(lines, walk, lines.target_h, lines.target_w, lines.segments * kSegment, lines.by_positions);
  }
  __device__ __forceinline__ void fetch(const Lines& lines, const FmaWeightOperands& o, int x_offset,
                                        int dy_offset) {
    if (walk.valid()) {
      if (walk.h >= 0)
        x.copy_row(lines, o.x, walk.image * lines.source_h + walk.h, lines.source_w,
                   lines.images_abreast * lines.width, x_memory + x_offset);
      // Segments past the images are zeros, too.
      if (dy_comes(walk, Shape::kStride))
        dy.copy_row(lines, o.dy, walk.image * lines.target_h + (walk.h + 1) / Shape::kStride, lines.target_w,
                    Shape::kPositions, dy_memory + dy_offset);
      if (walk.advance(lines)) aim(lines);
    }
    commit_copies();
  }
};

// Adds up the teams' sums in halves; the first team has the block's. `memory` is for half the teams' sums.
template <class Team, Flaw kFlaw, int kCount>
__device__ __forceinline__ void add_teams(float (&sums)[kCount], float* memory) {
  const int team = threadIdx.x / Team::kMembers;
#pragma unroll 1
  for (int half = Team::kTeams / 2; half > 0; half /= 2) {
    const int other = (threadIdx.x - half * Team::kMembers) % (half * Team::kMembers);
    if constexpr (kFlaw != Flaw::NoBarrier) __syncthreads();
    if (team >= half && team < 2 * half)
#pragma unroll
      for (int i = 0; i < kCount; ++i) memory[i * half * Team::kMembers + other] = sums[i];
    if constexpr (kFlaw != Flaw::NoBarrier) __syncthreads();
    if (team < half)
#pragma unroll
      for (int i = 0; i < kCount; ++i) sums[i] += memory[i * half * Team::kMembers + threadIdx.x];
  }
}

template <class Shape, Flaw kFlaw>
__global__ void __launch_bounds__(kThreads, kBlocksPerMultiprocessor)
    grad_weight_fma(Lines lines, FmaWeightOperands o) {
  using Members = typename Shape::Members;
  using Run = Walk<Shape::kStride, 1, -1>;
  constexpr int kStride = Shape::kStride, kInputs = Shape::kInputs, kOutputs = Shape::kOutputs;

  FmaWeightRings<Shape, Run, kFlaw> rings(lines);
  rings.aim(lines);
  for (int i = 0; i < Shape::kAhead; ++i)
    rings.fetch(lines, o, i * rings.x_slot.bytes, i * rings.dy_slot.bytes);

  const Member<Members> member(threadIdx.x);
  const int first = member.team * Shape::kStrip;
  const Position at(lines, first / kSegment, first % kSegment);
  const int in_x = (std::max(at.image, 0) * lines.width + at.column * kStride) * kPitch +
                   member.input * static_cast<int>(sizeof(float));
  const int in_dy = first * kPitch + member.output * static_cast<int>(sizeof(float));

  float sums[9][kInputs][kOutputs] = {};
  Run run;
  run.start(lines);
  for (; run.valid(); run.advance(lines)) {
    wait_copies<Shape::kAhead - 1>();
    if constexpr (kFlaw != Flaw::NoBarrier) __syncthreads();
    // Into the slots that all threads have left: of dy, the one before the two that are still met.
    rings.fetch(lines, o, rings.x_slot.back(1), rings.dy_slot.back(3));
    const unsigned char* const x = rings.x_memory + rings.x_slot.offset + in_x;
    // The row of dy that the kernel's row r leads to.
    const unsigned char* dy[3];
    bool meets[3];
#pragma unroll
    for (int r = 0; r < 3; ++r) {
      dy[r] = rings.dy_memory + rings.dy_slot.back(r) + in_dy;
      const int steps = run.h + 1 - r, row = steps / kStride;
      meets[r] = steps % kStride == 0 && row <= run.last && (kFlaw == Flaw::StaleRows || row >= run.first);
    }
    rings.x_slot.next();
    rings.dy_slot.next();
    if (run.h < 0) continue;

    // Rows r of the kernel whose bits are set.
    const auto add_rows = [&](auto bits) {
      // Pixels of x that positions share: at stride 1 two of three, at stride 2 one.
      float pixel[3][kInputs];
      const auto read = [&](int column) { read_values(pixel[column % 3], x + column * kPitch); };
#pragma unroll
      for (int s = 0; s < 3 - kStride; ++s) read(s);
#pragma unroll
      for (int position = 0; position < Shape::kStrip; ++position) {
#pragma unroll
        for (int s = 3 - kStride; s < 3; ++s) read(position * kStride + s);
#pragma unroll
        for (int r = 0; r < 3; ++r) {
          if (!(bits() >> r & 1)) continue;
          float gradient[kOutputs];
          read_values(gradient, dy[r] + position * kPitch);
#pragma unroll
          for (int s = 0; s < 3; ++s)
#pragma unroll
            for (int input = 0; input < kInputs; ++input)
#pragma unroll
              for (int output = 0; output < kOutputs; ++output) {
                float& sum = sums[3 * r + s][input][output];
                sum = fmaf(pixel[(position * kStride + s) % 3][input], gradient[output], sum);
              }
        }
      }
    };
    // Together they read x once; at the images' edges, one by one.
    constexpr int kTogether = kStride == 1 ? 7 : 5;
    if (meets[0] && meets[2] && (kStride == 2 || meets[1])) {
      add_rows(std::integral_constant<int, kTogether>{});
    } else {
      if (meets[0]) add_rows(std::integral_constant<int, 1>{});
      if (meets[1]) add_rows(std::integral_constant<int, 2>{});
      if (meets[2]) add_rows(std::integral_constant<int, 4>{});
    }
  }
  wait_copies<0>();

  float flat[Members::kValues];
#pragma unroll
  for (int i = 0; i < Members::kValues; ++i)
    flat[i] = sums[i / (kInputs * kOutputs)][i / kOutputs % kInputs][i % kOutputs];
  add_teams<Members, kFlaw>(flat, shared_memory<float>());
  if (threadIdx.x >= Members::kMembers) return;
  const int slabs = (lines.channels + kSlab<float> - 1) / kSlab<float>;
  float* const partial = o.partial +
                         (int64_t{blockIdx.x} * slabs + blockIdx.y) * Members::kValues * Members::kMembers +
                         threadIdx.x;
#pragma unroll
  for (int i = 0; i < Members::kValues; ++i) partial[i * Members::kMembers] = flat[i];
}

// What a block of every slab leaves.
template <class Team>
struct FmaPartials {
  int channels, slabs;
  __host__ __device__ __forceinline__ int of_block() const { return slabs * Team::kValues * Team::kMembers; }
  // Where the sum at `at` belongs; negative: past the last channel.
  __device__ __forceinline__ int64_t place_of(int at) const {
    const Member<Team> member(static_cast<unsigned>(at));
    const int value = at / Team::kMembers % Team::kValues;
    const int slab = at / (Team::kMembers * Team::kValues) * kSlab<float>;
    const int k = slab + member.output + value % Team::kOutputs;
    const int input = (member.input + value / Team::kOutputs % Team::kInputs) % Team::kPerGroup;
    if (k >= channels) return -1;
    return (int64_t{k} * Team::kPerGroup + input) * 9 + value / (Team::kOutputs * Team::kInputs);
  }
};

}  // namespace groupconv::cuda::grouped3x3
