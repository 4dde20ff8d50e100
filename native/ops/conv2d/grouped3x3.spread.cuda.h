// gradInput at stride 2. Row p of dy adds to rows 2 p - 1, 2 p and 2 p + 1 of dx through the kernel's rows 0,
// 1 and 2; position q to columns 2 q (through the kernel's column 1) and 2 q + 1 (through column 2, and
// column 0 of position q + 1). So each of dx's four phases meets its own taps, 9 in all, and none is
// multiplied by zeros in between.
#pragma once
#include "ops/conv2d/grouped3x3.tile.cuda.h"

namespace groupconv::cuda::grouped3x3 {

template <class Element, int kSquare>
using SpreadTile = Tile<Element, kSquare, 1, true>;

template <class Shape, Flaw kFlaw>
__global__ void __launch_bounds__(kThreads, kBlocksPerMultiprocessor)
    spread(Lines lines, Operands<typename Shape::T> o) {
  using T = typename Shape::T;
  using Run = Walk<1, 0>;
  constexpr int kSlices = Shape::kSlices;
  static_assert(Shape::kTiles == 1);

  Ring<Shape, Run, 0, kFlaw> ring(lines);
  Unit<Shape> unit;
  unit.load(lines, o);  // before the ring's arithmetic, which takes as long as the weights
  ring.fill(lines, o.source);

  const int tile = threadIdx.x / 32 / Shape::kUnits;
  const int row_bytes = row_in_stage(lines, tile, unit.source_bytes);
  float sum[2][kSlices][4];  // even and odd columns of the target row at hand
  Places<T, kSlices, 2, kFlaw> places;
  Run run;
  run.start(lines);
  for (bool run_begins = true; run.valid(); run_begins = run.advance(lines)) {
    const unsigned char* const stage = ring.next(lines, o.source);
    if (run_begins) {
      places.aim(lines, run, tile, unit.channel);
      clear<Shape>(sum[0]);
      clear<Shape>(sum[1]);
    }
    const auto store = [&](int row) {
      const int64_t first = (int64_t{run.image} * lines.target_h + row) * lines.target_w + 2 * run.column;
#pragma unroll
      for (int column = 0; column < 2; ++column) {
        places.store(o, first * lines.channels + blockIdx.y * kSlab<T>, column, unit.channel, sum[column]);
        clear<Shape>(sum[column]);
      }
    };
    // Two steps' fragments take more registers than are left: those are read again for each of dx's rows.
    constexpr bool kHeld = Shape::kSteps == 1;
    FragmentA here, right;
    const auto load = [&](int step) {
      const unsigned char* const at = stage + row_bytes + step * kStepBytes;
      here = load_rows<T>(at), right = load_rows<T>(at + kPitch);
    };
    if constexpr (kHeld) load(0);
#pragma unroll
    for (int r = 0; r < 3; ++r) {
#pragma unroll
      for (int step = 0; step < Shape::kSteps; ++step) {
        if constexpr (!kHeld) load(step);
        constexpr int kHere = kFlaw == Flaw::WrongPhase ? 0 : 2;
        multiply_tap<Shape, kFlaw>(sum[0], here, unit.weights[3 * r + 1][step]);
        multiply_tap<Shape, kFlaw>(sum[1], here, unit.weights[3 * r + kHere][step]);
        multiply_tap<Shape, kFlaw>(sum[1], right, unit.weights[3 * r + 2 - kHere][step]);
      }
      const int row = 2 * run.h - 1 + r;
      // The row above belongs to the line above, the row below waits for the next source row.
      if (r < 2 || run.h == run.last_h) {
        if (row / 2 >= run.first && row / 2 <= run.last && row >= 0 && row < lines.target_h) {
          store(row);
        } else {
          clear<Shape>(sum[0]);
          clear<Shape>(sum[1]);
        }
      }
    }
  }
  wait_copies<0>();
}

}  // namespace groupconv::cuda::grouped3x3
