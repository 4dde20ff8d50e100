// gradWeight: dweight[k, c, r, s] is the product over all positions of dy, transposed, and x shifted by (r,
// s).
//
// A warp keeps 16 x 16 channels of all nine taps in registers (72 sums a lane) while its block walks down the
// images; a row of x meets the three rows of dy that it belongs to, which stay in registers. Then every block
// writes its registers as they are, lane beside lane, and a second kernel adds that up in a fixed order and
// puts it where it belongs in [K, C / groups, 3, 3].
#pragma once
#include "ops/conv2d/grouped3x3.partials.cuda.h"
#include "ops/conv2d/grouped3x3.tile.cuda.h"

namespace groupconv::cuda::grouped3x3 {

template <class Element, int kSquareSide, int kPixelsPerPosition>
struct GradWeightTile {
  using T = Element;
  static constexpr int kSquare = kSquareSide, kStride = kPixelsPerPosition;
  static constexpr int kSide = 16;  // of a warp's channels
  static constexpr int kQuarters = (kSquare / kSide) * (kSquare / kSide);
  static constexpr int kUnits = kSlab<T> / kSquare * kQuarters;
  // Warps that share a unit, each with its part of every line's chunks of 16 positions.
  static constexpr int kParts = kWarps / kUnits;
  static constexpr int kChunks = kParts == 1 ? 2 : 1;  // of a warp
  static constexpr int kSegments = 2 * kChunks * kParts;
  static constexpr int kReach = 3 - kStride;
  static constexpr int kPixels = kSegments * (kSegment * kStride + kReach);
  static constexpr int kPositions = kSegments * kSegment;
  // Words of 32 bits are transposed without conflicts where a pixel begins 8 banks after the one before.
  static constexpr int kPixelPitch = sizeof(T) == 2 ? kPitch : kSlabBytes + 32;
  static constexpr int kStages = kPositions > 32 ? 3 : kStride == 1 ? 5 : 4;
};

// Fragments of 16 positions (K of the product) by 16 channels. 16 bits: one step; float32: two of 8.
template <class T>
constexpr int kChunkSteps = 16 / kStepElements<T>;

// dy, transposed: rows are channels. `pixel`: of either segment's first position, at the unit's channel.
template <class T, int kPixelPitch>
__device__ __forceinline__ void load_dy(FragmentA (&a)[kChunkSteps<T>],
                                        const unsigned char* const (&pixel)[2]) {
  const int lane = threadIdx.x % 32;
  if constexpr (sizeof(T) == 2) {
    a[0] = load_matrices_transposed((lane < 16 ? pixel[0] : pixel[1]) + lane % 8 * kPixelPitch +
                                    lane / 8 % 2 * 16);
  } else {
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
      for (int word = 0; word < 4; ++word)
        a[half].word[word] = to_tf32(*reinterpret_cast<const uint32_t*>(
            pixel[half] + (lane % 4 + word / 2 * 4) * kPixelPitch + (lane / 4 + word % 2 * 8) * 4));
  }
}

// x: columns are channels, in two slices of 8.
template <class T, int kPixelPitch>
__device__ __forceinline__ void load_x(FragmentB (&b)[kChunkSteps<T>][2],
                                       const unsigned char* const (&pixel)[2], int shift) {
  const int lane = threadIdx.x % 32;
  if constexpr (sizeof(T) == 2) {
    const FragmentA both = load_matrices_transposed((lane / 8 % 2 == 0 ? pixel[0] : pixel[1]) +
                                                    lane % 8 * kPixelPitch + lane / 16 * 16 + shift);
    b[0][0] = {{both.word[0], both.word[1]}};
    b[0][1] = {{both.word[2], both.word[3]}};
  } else {
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
      for (int slice = 0; slice < 2; ++slice)
#pragma unroll
        for (int word = 0; word < 2; ++word)
          b[half][slice].word[word] = to_tf32(*reinterpret_cast<const uint32_t*>(
              pixel[half] + shift + (lane % 4 + word * 4) * kPixelPitch + (lane / 4 + slice * 8) * 4));
  }
}

template <class T>
struct GradWeightOperands {
  const T *x, *dy;
  float* partial;
  Partials layout;
};

template <class Shape, Flaw kFlaw>
__global__ void __launch_bounds__(kThreads, kBlocksPerMultiprocessor)
    grad_weight(Lines lines, GradWeightOperands<typename Shape::T> o) {
  using T = typename Shape::T;
  using Run = Walk<Shape::kStride, 1, -1>;
  constexpr int kStride = Shape::kStride, kChunks = Shape::kChunks, kSide = Shape::kSide;
  constexpr int kPixelPitch = Shape::kPixelPitch, kStages = Shape::kStages;
  constexpr int kHeld = 4 - kStride;  // rows of dy that a row of x meets

  // A stage: row h of x, then the last row of dy that it meets, if no row above has met that one.
  unsigned char* const memory = shared_memory<unsigned char>();
  const int x_bytes = lines.images_abreast * lines.width * kPixelPitch;
  const int stage_bytes = x_bytes + Shape::kPositions * kPixelPitch;
  const int dy_width = lines.segments * kSegment;
  Run loading;
  loading.start(lines);
  bool fresh = true;
  Stager<T, Shape::kPixels, kStride, 1, kPixelPitch, kFlaw> stage_x;
  Stager<T, Shape::kPositions, 1, 0, kPixelPitch> stage_dy;
  // Row of dy that comes with row h of x: kernel row 0's.
  const auto row_of_dy = [](int h) { return (h + 1) / kStride; };
  const auto dy_comes = [&](const Run& run) {
    return (run.h + 1) % kStride == 0 && row_of_dy(run.h) <= run.last;
  };
  const auto fetch = [&](int into) {
    if (loading.valid()) {
      if (fresh) {
        stage_x.aim(lines, loading, lines.source_h, lines.source_w, lines.width, lines.by_width);
        stage_dy.aim(lines, loading, lines.target_h, lines.target_w, dy_width, lines.by_positions);
        stage_dy.pixels = Shape::kPositions;  // segments past the images are zeros
      }
      unsigned char* const stage = memory + into * stage_bytes;
      if (loading.h >= 0)
        stage_x.copy(
            o.x + (int64_t{loading.image} * lines.source_h + loading.h) * lines.source_w * lines.channels +
                blockIdx.y * kSlab<T>,
            stage);
      if (dy_comes(loading))
        stage_dy.copy(o.dy +
                          (int64_t{loading.image} * lines.target_h + row_of_dy(loading.h)) * lines.target_w *
                              lines.channels +
                          blockIdx.y * kSlab<T>,
                      stage + x_bytes);
      fresh = loading.advance(lines);
    }
    commit_copies();
  };
  for (int i = 0; i < kStages - 1; ++i) fetch(i);

  const int warp = threadIdx.x / 32, unit = warp % Shape::kUnits, part = warp / Shape::kUnits;
  const int quarter = unit % Shape::kQuarters, square = unit / Shape::kQuarters * Shape::kSquare;
  const int first_k = square + quarter / (Shape::kSquare / kSide) * kSide;
  const int first_c = square + quarter % (Shape::kSquare / kSide) * kSide;
  int x_pixel[kChunks][2], dy_pixel[kChunks][2];  // bytes into a stage, of each segment's first position
#pragma unroll
  for (int chunk = 0; chunk < kChunks; ++chunk)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int segment = 2 * (part * kChunks + chunk) + half;
      const Position at(lines, segment, 0);
      x_pixel[chunk][half] = (std::max(at.image, 0) * lines.width + at.column) * kPixelPitch +
                             first_c * static_cast<int>(sizeof(T));
      dy_pixel[chunk][half] =
          x_bytes + segment * kSegment * kPixelPitch + first_k * static_cast<int>(sizeof(T));
    }
  const int odd_columns = even_columns(lines.width) * kPixelPitch;

  float sum[9][2][4] = {};
  FragmentA held[kChunks][kHeld]
                [kChunkSteps<T>];  // [r] at stride 1; at stride 2 [0] comes, [1] is the one above
  int stage_index = 0;
  Run run;
  run.start(lines);
  for (bool run_begins = true; run.valid(); run_begins = run.advance(lines)) {
    wait_copies<kStages - 2>();
    if constexpr (kFlaw != Flaw::NoBarrier) __syncthreads();
    fetch(stage_index == 0 ? kStages - 1 : stage_index - 1);
    const unsigned char* const stage = memory + stage_index * stage_bytes;
    stage_index = stage_index + 1 == kStages ? 0 : stage_index + 1;

    const bool steps_down = (run.h + 1) % kStride == 0;  // rows of dy move on
    const bool comes = dy_comes(run);
#pragma unroll
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      if (run_begins || steps_down) {
#pragma unroll
        for (int row = kHeld - 1; row >= 0; --row)
#pragma unroll
          for (int step = 0; step < kChunkSteps<T>; ++step)
            held[chunk][row][step] = row == 0 || run_begins ? FragmentA{} : held[chunk][row - 1][step];
        if (comes) {
          const unsigned char* const dy[2] = {stage + dy_pixel[chunk][0], stage + dy_pixel[chunk][1]};
          load_dy<T, kPixelPitch>(held[chunk][0], dy);
        }
      }
      if (run.h < 0) continue;
      const unsigned char* const x[2] = {stage + x_pixel[chunk][0], stage + x_pixel[chunk][1]};
#pragma unroll
      for (int s = 0; s < 3; ++s) {
        FragmentB b[kChunkSteps<T>][2];
        load_x<T, kPixelPitch>(b, x,
                               kStride == 1 ? s * kPixelPitch
                               : s == 1     ? odd_columns
                                            : s / 2 * kPixelPitch);
        const auto add = [&](int r, int row) {
#pragma unroll
          for (int step = 0; step < kChunkSteps<T>; ++step)
#pragma unroll
            for (int slice = 0; slice < 2; ++slice)
              multiply<T>(sum[3 * r + s][slice], held[chunk][row][step], b[step][slice]);
        };
        if constexpr (kStride == 1) {
          add(0, 0);
          add(1, 1);
          add(2, 2);
        } else if (steps_down) {
          add(0, 0);
          add(2, 1);
        } else {
          add(1, 0);
        }
      }
    }
  }
  wait_copies<0>();

  // Parts of one unit add up, in order.
  float* const exchange = shared_memory<float>();  // [sum][unit][lane]
  const int lane = threadIdx.x % 32;
  for (int from = 1; from < Shape::kParts; ++from) {
    __syncthreads();
    if (part == from)
#pragma unroll
      for (int i = 0; i < 72; ++i)
        exchange[(i * Shape::kUnits + unit) * 32 + lane] = sum[i / 8][i / 4 % 2][i % 4];
    __syncthreads();
    if (part == 0)
#pragma unroll
      for (int i = 0; i < 72; ++i)
        sum[i / 8][i / 4 % 2][i % 4] += exchange[(i * Shape::kUnits + unit) * 32 + lane];
  }
  if (part != 0) return;

  const int of_all = blockIdx.y * Shape::kUnits + unit;
  if (of_all >= o.layout.units) return;
  const bool diagonal = o.layout.diagonal();
  float* const partial =
      o.partial + int64_t{blockIdx.x} * o.layout.of_block() + int64_t{of_all} * o.layout.values() * 32 + lane;
#pragma unroll
  for (int tap = 0; tap < 9; ++tap)
#pragma unroll
    for (int slice = 0; slice < 2; ++slice)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const bool on_diagonal = i / 2 == slice;
        if (!diagonal)
          partial[(8 * tap + 4 * slice + i) * 32] = sum[tap][slice][i];
        else if (on_diagonal)
          partial[(4 * tap + i) * 32] = sum[tap][slice][i];
      }
}

}  // namespace groupconv::cuda::grouped3x3
