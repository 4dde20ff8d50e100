// float32 gradInput at stride 2: grouped3x3.spread.cuda.h's sums, on CUDA cores.
#pragma once
#include "ops/conv2d/grouped3x3.fma.cuda.h"

namespace groupconv::cuda::grouped3x3 {

template <class Shape, Flaw kFlaw>
__global__ void __launch_bounds__(kThreads, kBlocksPerMultiprocessor) spread_fma(Lines lines, FmaOperands o) {
  using Run = Walk<1, 0>;
  constexpr int kPositions = Shape::kPositions;

  FmaRing<Shape, Run, 0, kFlaw> ring(lines);
  Weights<Shape> weights;
  weights.load(o);  // before the ring's arithmetic, which takes as long as the weights
  ring.fill(lines, o.source);

  Targets<Shape, 2 * kPositions, kFlaw> targets;
  const int in_stage = targets.in_stage(lines);
  float sum[2 * kPositions];  // columns of the target row at hand
  Run run;
  run.start(lines);
  targets.aim(lines, run);
  while (run.valid()) {
    const unsigned char* const stage = ring.next(lines, o.source) + in_stage;
    // Through the kernel's row r.
    const auto add_row = [&](int r) {
      asm volatile("" ::: "memory");  // or the pixels would be kept for the next row, for want of registers
#pragma unroll
      for (int i = 0; i <= kPositions; ++i) {
        float pixel[Shape::kInputs];
        read_values(pixel, stage + i * kPitch);
        constexpr int kHere = kFlaw == Flaw::WrongPhase ? 0 : 2;
        if (i < kPositions) {
          weights.add_tap(sum[2 * i], pixel, 3 * r + 1);
          weights.add_tap(sum[2 * i + 1], pixel, 3 * r + kHere);
        }
        if (i > 0) weights.add_tap(sum[2 * i - 1], pixel, 3 * r + 2 - kHere);
      }
    };
    const int row_here = run.image * lines.target_h + 2 * run.h;
    if (run.h > run.first) {  // the row above, to which this one adds last
      add_row(0);
      targets.store(lines, o, row_here - 1, sum);
    }
    if (run.h <= run.last) {
      fill(sum, 0);
      add_row(1);
      targets.store(lines, o, row_here, sum);
      fill(sum, 0);
      add_row(2);
      if (run.h == run.last_h && 2 * run.h + 1 < lines.target_h) targets.store(lines, o, row_here + 1, sum);
    }
    if (run.advance(lines)) targets.aim(lines, run);
  }
  wait_copies<0>();
}

}  // namespace groupconv::cuda::grouped3x3
