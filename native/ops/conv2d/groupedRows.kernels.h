// Where strips find the input rows of one plane: where they are, or (Join::Shuffled) in a window in which
// every lane finds its group's channels already, step by step.
#pragma once
#include "ops/conv2d/grouped.kernels.h"

namespace groupconv {
namespace {

struct PlainRows {
  const Element* plane;
  int64_t row;  // elements

  void place(Strip&) const {}
  // Rows begin … end are one after the other from here on; later calls never begin higher up.
  const Element* with(Range rows) { return plane + rows.begin * row; }
};

// What every step sees of `size` elements of a row, `block` apart in neighbouring blocks.
GROUPCONV_KERNEL void shuffle_row(const PatternStep* step, const Element* row, int64_t block, int64_t size,
                                  Element* to, int64_t to_step) {
  for (int left = step->count; left > 0; --left, ++step, to += to_step) {
    const IntVec lanes = step->lanes;
    const Element *near = row + step->near * block, *far = row + step->far * block;
    _Pragma("GCC unroll 4") for (int64_t i = 0; i < size; i += W)
        store(to + i, blend_and_shuffle(load(near + i), load(far + i), lanes));
  }
}

class ShuffledRows {
 public:
  ShuffledRows(const PlainRows& source, const Strip& strip)
      : source_(source),
        steps_(strip.steps),
        x_block_(strip.x_block),
        step_(source.row),
        row_(strip.steps->count * source.row),
        capacity_(kWindow / row_) {}

  // [rows, steps, columns, lanes] instead of [blocks, rows, columns, lanes].
  void place(Strip& s) const {
    s.depth = steps_->count;
    s.x_tap = s.x_tap / step_ * row_;
    s.x_row = s.x_row / step_ * row_;
    s.x_block = step_;
  }

  const Element* with(Range rows) {
    if (rows.begin >= end_) {
      first_ = end_ = rows.begin;
    } else if (rows.end - first_ > capacity_) {
      const int64_t kept = (end_ - rows.begin) * row_;
      const Element* from = window_ + (rows.begin - first_) * row_;
      for (int64_t i = 0; i < kept; i += W) store(window_ + i, load(from + i));
      first_ = rows.begin;
    }
    for (; end_ < rows.end; ++end_)
      shuffle_row(steps_, source_.plane + end_ * step_, x_block_, step_, window_ + (end_ - first_) * row_,
                  step_);
    return window_ + (rows.begin - first_) * row_;
  }

 private:
  const PlainRows source_;
  const PatternStep* const steps_;
  const int64_t x_block_, step_, row_, capacity_;
  int64_t first_ = 0, end_ = 0;  // the rows in the window
  alignas(64) Element window_[kWindow];
};

}  // namespace
}  // namespace groupconv
