// Statistics of y that a convolution leaves for the BatchNorm after it: count, mean and squared deviations of
// every plane [pixels, lanes] of y [N, C/B, H, W, B], taken while the plane is in a cache.
#pragma once
#include <cstddef>
#include <cstdint>

namespace groupconv {

// In memory: [planes] pixels that are stored by now, then [planes, 2, B] doubles, in whole lines.
struct PlaneMoments {
  int32_t* stored = nullptr;  // null: nobody asks for them
  double* values = nullptr;   // per plane [mean, sum of squared deviations][B]

  static size_t stored_bytes(int64_t planes) { return static_cast<size_t>(planes * 4 + 63) / 64 * 64; }
  static size_t bytes(int64_t planes, int64_t block) {
    return stored_bytes(planes) + static_cast<size_t>(planes * 2 * block) * sizeof(double);
  }
  static PlaneMoments at(void* memory, int64_t planes) {
    const auto begin = static_cast<char*>(memory);
    return {reinterpret_cast<int32_t*>(begin), reinterpret_cast<double*>(begin + stored_bytes(planes))};
  }
  // Whether a solver took them all.
  bool are_complete(int64_t planes, int64_t pixels) const {
    for (int64_t plane = 0; stored && plane < planes; ++plane)
      if (stored[plane] != pixels) return false;
    return stored != nullptr;
  }
};

}  // namespace groupconv
