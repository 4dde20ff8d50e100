// Which taps of the kernel meet an output position along one axis, and where their input lies: with i
// counting the outputs of one phase,
//
//   out[i * out_step + phase] = sum over taps t of weight[t.index] * in[i * step + t.offset]
//
// Forward has one phase and steps by the stride through its input. gradInput has `stride` phases, each with
// its own taps, and steps by one through dy. For kernels that take any stride, dilation and padding.
#pragma once
#include <cstdint>

namespace groupconv {
namespace {

constexpr int kMaxTaps = 32;  // along one axis

struct Taps {
  int64_t step;
  int count;
  int index[kMaxTaps];
  int64_t offset[kMaxTaps];

  // Outputs i .. i + outputs - 1 read only inside [0, size).
  bool inside(int64_t i, int64_t outputs, int64_t size) const {
    for (int t = 0; t < count; ++t)
      if (i * step + offset[t] < 0 || (i + outputs - 1) * step + offset[t] >= size) return false;
    return true;
  }
};

inline Taps forward_taps(int kernel, int stride, int dilation, int pad) {
  Taps taps{stride, kernel, {}, {}};
  for (int i = 0; i < kernel; ++i) {
    taps.index[i] = i;
    taps.offset[i] = int64_t{i} * dilation - pad;
  }
  return taps;
}

inline Taps grad_input_taps(int kernel, int stride, int dilation, int pad, int64_t phase) {
  Taps taps{1, 0, {}, {}};
  for (int i = 0; i < kernel; ++i) {
    const int64_t position = phase + pad - int64_t{i} * dilation;
    if (position % stride) continue;
    taps.index[taps.count] = i;
    taps.offset[taps.count++] = position / stride;
  }
  return taps;
}

}  // namespace
}  // namespace groupconv
