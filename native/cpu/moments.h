// Mean and squared deviations per lane. Only `*.simd.cpp` units include it.
#pragma once
#include "core/plane_moments.h"
#include "cpu/element.h"

namespace groupconv {
namespace {

// Of one run or plane.
struct Moments {
  double mean[W], squares[W];  // squares: sum of squared deviations from the mean
};

// Rows [rows, lanes]. Their own mean is taken away first, so that float32 squares see deviations only: right
// for any mean, at the price of a second look at L1.
GROUPCONV_KERNEL void moments_of(const Element* x, int64_t rows, Moments& result) {
  constexpr int kLanesets = 4;  // independent sums hide the latency of additions
  Vec first[kLanesets] = {}, second[kLanesets] = {};
  int64_t row = 0;
  for (; row + kLanesets <= rows; row += kLanesets)
    GROUPCONV_UNROLL for (int i = 0; i < kLanesets; ++i) first[i] += load(x + (row + i) * W);
  for (; row < rows; ++row) first[0] += load(x + row * W);
  const Vec center =
      ((first[0] + first[1]) + (first[2] + first[3])) * broadcast(1.0f / static_cast<float>(rows));

  GROUPCONV_UNROLL for (int i = 0; i < kLanesets; ++i) first[i] = zero();
  const auto add = [&](Vec v, int i) GROUPCONV_INLINE_LAMBDA {
    const Vec deviation = v - center;
    first[i] += deviation;
    second[i] += deviation * deviation;
  };
  for (row = 0; row + kLanesets <= rows; row += kLanesets)
    GROUPCONV_UNROLL for (int i = 0; i < kLanesets; ++i) add(load(x + (row + i) * W), i);
  for (; row < rows; ++row) add(load(x + row * W), 0);

  float centers[W], rests[W], squares[W];
  store_unaligned(centers, center);
  store_unaligned(rests, (first[0] + first[1]) + (first[2] + first[3]));
  store_unaligned(squares, (second[0] + second[1]) + (second[2] + second[3]));
  for (int lane = 0; lane < W; ++lane) {
    const double rest = rests[lane] / static_cast<double>(rows);  // what rounding left of the mean
    result.mean[lane] = static_cast<double>(centers[lane]) + rest;
    result.squares[lane] = squares[lane] - rests[lane] * rest;
  }
}

// Adds up the moments of runs, in float64, about the first one's mean.
class MomentSums {
 public:
  void add(const Moments& run, double rows) {
    for (int lane = 0; lane < W; ++lane) {
      if (count_ == 0) origin_[lane] = run.mean[lane];
      const double apart = run.mean[lane] - origin_[lane];
      sum_[lane] += rows * apart;
      squares_[lane] += run.squares[lane] + rows * apart * apart;
    }
    count_ += rows;
  }
  Moments total() const {
    Moments result;
    for (int lane = 0; lane < W; ++lane) {
      const double apart = sum_[lane] / count_, squares = squares_[lane] - sum_[lane] * apart;
      result.mean[lane] = origin_[lane] + apart;
      result.squares[lane] = squares < 0 ? 0 : squares;
    }
    return result;
  }

 private:
  double origin_[W], sum_[W] = {}, squares_[W] = {}, count_ = 0;
};

constexpr int64_t kRunRows = 128;  // 8 KB at 16 lanes: a second look hits L1, and float32 loses nothing

// Planes [pixels, lanes] of a tensor in the making: whoever stores the last pixel of one takes its moments,
// the same ones however the work is shared out.
class PlanesInTheMaking {
 public:
  PlanesInTheMaking(const PlaneMoments& moments, const Element* y, int64_t pixels)
      : moments_(moments), y_(y), pixels_(pixels) {}

  void stored(int64_t plane, int64_t pixels) const {
    if (!moments_.stored) return;
    const auto more = static_cast<int32_t>(pixels);
    if (__atomic_add_fetch(moments_.stored + plane, more, __ATOMIC_ACQ_REL) == pixels_) take(plane);
  }

 private:
  GROUPCONV_KERNEL void take(int64_t plane) const {
    MomentSums sums;
    for (int64_t row = 0; row < pixels_; row += kRunRows) {
      const int64_t rows = min_of(kRunRows, pixels_ - row);
      Moments run;
      moments_of(y_ + (plane * pixels_ + row) * W, rows, run);
      sums.add(run, static_cast<double>(rows));
    }
    const Moments total = sums.total();
    double* const to = moments_.values + plane * 2 * W;
    for (int lane = 0; lane < W; ++lane) to[lane] = total.mean[lane], to[W + lane] = total.squares[lane];
  }

  const PlaneMoments moments_;
  const Element* const y_;
  const int64_t pixels_;
};

}  // namespace
}  // namespace groupconv
