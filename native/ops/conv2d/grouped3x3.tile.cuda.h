// How a block of threads is shaped: squares, units, tiles.
//
// Weights are multiplied in dense squares of kSquare input by kSquare output channels; groups of 4 and 8
// share a square of 16 (float32: of 8), zeros off its diagonal. A unit is what one warp computes of a square:
// 8 * kSlices output channels, whose weights it keeps in registers. A tile is 16 positions, two segments.
#pragma once
#include "ops/conv2d/grouped3x3.stage.cuda.h"
#include "ops/conv2d/grouped3x3.store.cuda.h"

namespace groupconv::cuda::grouped3x3 {

constexpr int kWarps = kThreads / 32;

// Side of the dense square in which groups of `per_group` channels are multiplied.
template <class T>
constexpr int square_of(int per_group) {
  return std::max(per_group, sizeof(T) == 2 ? 16 : 8);
}

// kTwoColumns: each position has two columns of the target, as in gradInput at stride 2.
template <class Element, int kSquareSide, int kPixelsPerPosition, bool kTwoColumns>
struct Tile {
  using T = Element;
  static constexpr int kSquare = kSquareSide, kStride = kPixelsPerPosition;
  static constexpr bool kSpreads = kTwoColumns;
  // Pixels that a line's part reads beyond kStride for each position.
  static constexpr int kReach = kSpreads ? 1 : 3 - kStride;
  static constexpr int kSteps = kSquare / kStepElements<T>;  // of a tap
  // Weights take 18 * kSteps * kSlices registers.
  static constexpr int kSlices = sizeof(T) == 4 ? 1 : 2;
  static constexpr int kUnit = 8 * kSlices;
  static constexpr int kUnits = kSlab<T> / kUnit;
  // Tiles of a line that one warp computes, at once.
  static constexpr int kTiles = kStride == 1 && !kSpreads && kSquare == 8 ? 2 : 1;
  static constexpr int kSegments = 2 * kTiles * kWarps / kUnits;
  // A line of many narrow images has most pixels.
  static constexpr int kPixels = kSegments * (kSegment * kStride + kReach);
  static constexpr int kStages = kPixels <= 48 ? 8 : kPixels <= 80 ? 4 : 3;
};

// A warp's unit: its weights, and where its channels begin.
template <class Shape>
struct Unit {
  using T = typename Shape::T;
  static constexpr int kSlices = Shape::kSlices, kChannels = 2 * kSlices;

  FragmentB weights[9][Shape::kSteps][kSlices];
  int channel;       // the lane's first within the slab; negative: none
  int source_bytes;  // from the slab's first channel to the square's

  // Weights [unit][tap][step][slice][lane].
  __device__ __forceinline__ void load(const Lines& lines, const Operands<T>& o) {
    const int lane = threadIdx.x % 32, in_slab = threadIdx.x / 32 % Shape::kUnits;
    const int unit = blockIdx.y * Shape::kUnits + in_slab, units = lines.channels / Shape::kUnit;
    const int safe = std::min(unit, units - 1);  // warps past the last channel compute and don't store
    const FragmentB* from = o.weights + int64_t{safe} * 9 * Shape::kSteps * kSlices * 32 + lane;
#pragma unroll
    for (int tap = 0; tap < 9; ++tap)
#pragma unroll
      for (int step = 0; step < Shape::kSteps; ++step)
#pragma unroll
        for (int slice = 0; slice < kSlices; ++slice)
          weights[tap][step][slice] = from[((tap * Shape::kSteps + step) * kSlices + slice) * 32];
    channel = unit < units ? in_slab * Shape::kUnit + kChannels * (lane % 4) : -1;
    source_bytes = in_slab * Shape::kUnit / Shape::kSquare * Shape::kSquare * static_cast<int>(sizeof(T));
  }
};

// Bytes into a stage at which this lane's row of a tile's fragments lies, for `load_rows`.
__device__ __forceinline__ int row_in_stage(const Lines& lines, int tile, int source_bytes) {
  const int lane = threadIdx.x % 32;
  const Position at(lines, 2 * tile + lane / 8 % 2, lane % 8);
  return (std::max(at.image, 0) * lines.width + at.column) * kPitch + source_bytes + lane / 16 * 16;
}

// sum += tile times the weights of one tap, over one step.
template <class Shape, Flaw kFlaw>
__device__ __forceinline__ void multiply_tap(float (&sum)[Shape::kSlices][4], const FragmentA& a,
                                             const FragmentB (&weights)[Shape::kSlices]) {
#pragma unroll
  for (int slice = 0; slice < Shape::kSlices; ++slice) {
    FragmentB b = weights[slice];
    if constexpr (kFlaw == Flaw::HalvesSwapped) b = {{b.word[1], b.word[0]}};
    multiply<typename Shape::T>(sum[slice], a, b);
  }
}

template <class Shape>
__device__ __forceinline__ void clear(float (&sum)[Shape::kSlices][4]) {
#pragma unroll
  for (int slice = 0; slice < Shape::kSlices; ++slice)
#pragma unroll
    for (int i = 0; i < 4; ++i) sum[slice][i] = 0;
}

// Source rows of a share of lines, always kStages - 1 of them on their way.
template <class Shape, class Walk, int kLeft, Flaw kFlaw>
struct Ring {
  using T = typename Shape::T;
  unsigned char* const memory = shared_memory<unsigned char>();
  const int stage_bytes;
  int stage = 0;  // the one at hand
  bool run_begins = true;
  Walk walk;
  Stager<T, Shape::kPixels, Shape::kStride, kLeft, kPitch, kFlaw> stager;

  __device__ __forceinline__ explicit Ring(const Lines& lines)
      : stage_bytes(lines.images_abreast * lines.width * kPitch) {
    walk.start(lines);
  }
  __device__ __forceinline__ void fill(const Lines& lines, const T* source) {
    for (int i = 0; i < Shape::kStages - 1; ++i) fetch(lines, source, i);
  }
  // The stage at hand has come; the one before it, which all threads have left, is filled again.
  __device__ __forceinline__ const unsigned char* next(const Lines& lines, const T* source) {
    wait_copies<Shape::kStages - 2>();
    if constexpr (kFlaw != Flaw::NoBarrier) __syncthreads();
    fetch(lines, source, stage == 0 ? Shape::kStages - 1 : stage - 1);
    const unsigned char* const at = memory + stage * stage_bytes;
    stage = stage + 1 == Shape::kStages ? 0 : stage + 1;
    return at;
  }

 private:
  __device__ __forceinline__ void fetch(const Lines& lines, const T* source, int into) {
    if (walk.valid()) {
      if (run_begins) stager.aim(lines, walk, lines.source_h, lines.source_w, lines.width, lines.by_width);
      const int64_t row = (int64_t{walk.image} * lines.source_h + walk.h) * lines.source_w;
      stager.copy(source + row * lines.channels + blockIdx.y * kSlab<T>, memory + into * stage_bytes);
      run_begins = walk.advance(lines);
    }
    commit_copies();
  }
};

}  // namespace groupconv::cuda::grouped3x3
