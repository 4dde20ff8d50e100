// Forward at stride 1 and 2; with weights flipped and transposed, gradInput at stride 1.
//
// A source row adds to up to three target rows, whose sums stay in registers until their last source row has
// been: so every fragment is read from shared memory once, not once per target row.
#pragma once
#include "ops/conv2d/grouped3x3.tile.cuda.h"

namespace groupconv::cuda::grouped3x3 {

template <class Element, int kSquare, int kStride>
using ConvolveTile = Tile<Element, kSquare, kStride, false>;

template <class Shape, Flaw kFlaw>
__global__ void __launch_bounds__(kThreads, kBlocksPerMultiprocessor)
    convolve(Lines lines, Operands<typename Shape::T> o) {
  using T = typename Shape::T;
  using Run = Walk<Shape::kStride, 1>;
  constexpr int kStride = Shape::kStride, kTiles = Shape::kTiles, kSlices = Shape::kSlices;
  // Target rows that a source row can add to: at stride 2, of odd rows, two.
  constexpr int kOpen = 4 - kStride;

  Ring<Shape, Run, 1, kFlaw> ring(lines);
  Unit<Shape> unit;
  unit.load(lines, o);  // before the ring's arithmetic, which takes as long as the weights
  ring.fill(lines, o.source);

  const int first_tile = threadIdx.x / 32 / Shape::kUnits * kTiles;
  // Column `shift` of the kernel reads positions + shift, or at stride 2 even columns, odd ones, even + 1.
  const int odd_columns = even_columns(lines.width) * kPitch;
  int rows[kTiles];
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile)
    rows[tile] = row_in_stage(lines, first_tile + tile, unit.source_bytes);

  float sum[kTiles][kOpen][kSlices][4];  // [0]: the target row that is completed next
  Places<T, kSlices, 1, kFlaw> places[kTiles];
  Run run;
  run.start(lines);
  for (bool run_begins = true; run.valid(); run_begins = run.advance(lines)) {
    const unsigned char* const stage = ring.next(lines, o.source);
    if (run_begins) {
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile) {
        places[tile].aim(lines, run, first_tile + tile, unit.channel);
#pragma unroll
        for (int open = 0; open < kOpen; ++open) clear<Shape>(sum[tile][open]);
      }
    }

    const bool even = kStride == 2 && run.h % 2 == 0;
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile)
#pragma unroll
      for (int step = 0; step < Shape::kSteps; ++step)
#pragma unroll
        for (int shift = 0; shift < 3; ++shift) {
          const int across = kStride == 1 ? shift * kPitch : shift == 1 ? odd_columns : shift / 2 * kPitch;
          const FragmentA a = load_rows<T>(stage + rows[tile] + across + step * kStepBytes);
          const auto add = [&](int open, int r) {
            multiply_tap<Shape, kFlaw>(sum[tile][open], a, unit.weights[3 * r + shift][step]);
          };
          if constexpr (kStride == 1) {
            add(0, 2);
            add(1, 1);
            add(2, 0);
          } else if (even) {
            add(0, 1);
          } else {
            add(0, 2);
            add(1, 0);
          }
        }

    const auto [complete, completes] = completed_rows<kStride>(run);
#pragma unroll 1
    for (int row = complete; row <= completes; ++row) {
      const int64_t first = (int64_t{run.image} * lines.target_h + row) * lines.target_w + run.column;
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile) {
        if (row >= run.first)
          places[tile].store(o, first * lines.channels + blockIdx.y * kSlab<T>, 0, unit.channel,
                             sum[tile][0]);
#pragma unroll
        for (int slice = 0; slice < kSlices; ++slice)
#pragma unroll
          for (int i = 0; i < 4; ++i) {
#pragma unroll
            for (int open = 1; open < kOpen; ++open)
              sum[tile][open - 1][slice][i] = sum[tile][open][slice][i];
            sum[tile][kOpen - 1][slice][i] = 0;
          }
      }
    }
  }
  wait_copies<0>();
}

}  // namespace groupconv::cuda::grouped3x3
