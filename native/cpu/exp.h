// exp of a vector, for `*.simd.cpp` units. Within 1.5 units in the last place; 0 and infinity beyond
// float32's range, denormals where they belong, NaN stays NaN.
#pragma once
#include "cpu/simd.h"

namespace groupconv {
namespace {

GROUPCONV_INLINE Vec exp(Vec x) {
  // Comparisons are false for NaN, which passes on.
  x = x < broadcast(-104.0f) ? broadcast(-104.0f) : x;
  x = x > broadcast(89.0f) ? broadcast(89.0f) : x;
  // x = n ln 2 + r, |r| <= ln 2 / 2; adding 1.5 * 2^23 rounds to a whole number and leaves it in the low
  // bits.
  const Vec shift = broadcast(12582912.0f);
  const Vec shifted = x * broadcast(1.44269504f) + shift;
  const IntVec n = reinterpret_cast<IntVec>(shifted) - reinterpret_cast<IntVec>(shift);
  const Vec whole = shifted - shift;
  Vec r = x - whole * broadcast(0.693359375f);  // exact: 9 bits times at most 8
  r = r - whole * broadcast(-2.12194440e-4f);
  // Cephes' minimax polynomial of (exp(r) - 1 - r) / r^2.
  Vec p = broadcast(1.9875691500e-4f);
  p = p * r + broadcast(1.3981999507e-3f);
  p = p * r + broadcast(8.3334519073e-3f);
  p = p * r + broadcast(4.1665795894e-2f);
  p = p * r + broadcast(1.6666665459e-1f);
  p = p * r + broadcast(5.0000001201e-1f);
  p = p * r * r + r + broadcast(1.0f);
  // 2^n in two factors, each a normal number for n from -150 to 129.
  const IntVec half = n >> 1, bias = IntVec{} + 127;
  return p * reinterpret_cast<Vec>((half + bias) << 23) * reinterpret_cast<Vec>((n - half + bias) << 23);
}

}  // namespace
}  // namespace groupconv
