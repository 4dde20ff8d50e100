// float32 forward at stride 1 and 2; with weights flipped and transposed, gradInput at stride 1.
//
// As in grouped3x3.convolve.cuda.h a source row adds to all the target rows that it belongs to, whose sums
// stay in registers: each pixel is read from shared memory once.
#pragma once
#include "ops/conv2d/grouped3x3.fma.cuda.h"

namespace groupconv::cuda::grouped3x3 {

template <class Shape, Flaw kFlaw>
__global__ void __launch_bounds__(kThreads, kBlocksPerMultiprocessor)
    convolve_fma(Lines lines, FmaOperands o) {
  using Run = Walk<Shape::kStride, 1>;
  constexpr int kStride = Shape::kStride, kPositions = Shape::kPositions;
  // Target rows that a source row can add to: at stride 2, of odd rows, two.
  constexpr int kOpen = 4 - kStride;

  FmaRing<Shape, Run, 1, kFlaw> ring(lines);
  Weights<Shape> weights;
  weights.load(o);  // before the ring's arithmetic, which takes as long as the weights
  ring.fill(lines, o.source);

  Targets<Shape, kPositions, kFlaw> targets;
  const int in_stage = targets.in_stage(lines);
  const float bias = targets.bias(lines, o);
  float sum[kOpen][kPositions];  // [0]: the target row that is completed next
  Run run;
  run.start(lines);
  const auto begin_run = [&] {
    targets.aim(lines, run);
#pragma unroll
    for (int open = 0; open < kOpen; ++open) fill(sum[open], bias);
  };
  begin_run();
  while (run.valid()) {
    const unsigned char* const stage = ring.next(lines, o.source) + in_stage;
    // A target row was completed: the others move up. Here, and not where it was stored, the first products
    // move them.
    const auto move_up = [&] {
#pragma unroll
      for (int open = 1; open < kOpen; ++open)
#pragma unroll
        for (int i = 0; i < kPositions; ++i) sum[open - 1][i] = sum[open][i];
      fill(sum[kOpen - 1], bias);
    };
    // Pixel i meets position (i - s) / kStride through the kernel's column s, and target row `open` through
    // the kernel's row rows(open), where there is one.
    const auto add_row = [&](const auto& rows) {
#pragma unroll
      for (int i = 0; i < kPositions * kStride + Shape::kReach; ++i) {
        float pixel[Shape::kInputs];
        read_values(pixel, stage + i * kPitch);
#pragma unroll
        for (int s = i % kStride; s < 3; s += kStride)
#pragma unroll
          for (int open = 0; open < kOpen; ++open) {
            const int position = (i - s) / kStride, r = rows(open);
            if (i >= s && position < kPositions && r >= 0)
              weights.add_tap(sum[open][position], pixel, 3 * r + s);
          }
      }
    };
    if constexpr (kStride == 1) {
      move_up();
      add_row([](int open) { return 2 - open; });
    } else if (run.h % 2 == 0) {
      move_up();
      add_row([](int open) { return open == 0 ? 1 : -1; });
    } else {
      add_row([](int open) { return 2 - 2 * open; });
    }

    auto [row, last] = completed_rows<kStride>(run);
#pragma unroll 1
    for (; row <= last; ++row) {
      if (row >= run.first) targets.store(lines, o, run.image * lines.target_h + row, sum[0]);
      // The image ends here, and so does the run: one more.
      if (row < last)
#pragma unroll
        for (int i = 0; i < kPositions; ++i) sum[0][i] = sum[1][i];
    }
    if (run.advance(lines)) begin_run();
  }
  wait_copies<0>();
}

}  // namespace groupconv::cuda::grouped3x3
