// What the register-tiled units share: tile sizes, balanced splits, threads on a grid of outputs and pixels, the
// epilogue of a store, and transposition in registers.
#pragma once
#include "cpu/context.h"
#include "cpu/simd.h"
#include "ops/conv2d/conv2d.h"

// Holds v in its register at this point of the program: keeps multiply-adds in the order in which they are written.
// Compilers reorder whole unrolled tiles (sums first, loads far ahead) and spill: SSE2 tiles lost half their speed.
#if defined(__x86_64__)
#define GROUPCONV_PIN(v) asm volatile("" : "+v"(v))
#elif defined(__aarch64__)
#define GROUPCONV_PIN(v) asm volatile("" : "+w"(v))
#else
#define GROUPCONV_PIN(v)
#endif

namespace groupconv {
namespace {

#if defined(__aarch64__)
constexpr int kRegisters = 32;
#else
constexpr int kRegisters = W == 16 ? 32 : 16;
#endif
// A tile of kTilePixels x 2 accumulators leaves registers for two weights, one broadcast and, without FMA, a product.
constexpr int kTilePixels = kRegisters == 32 ? 14 : 6;

GROUPCONV_INLINE void multiply_add(Vec& sum, Vec a, Vec b) {
  sum += a * b;
  GROUPCONV_PIN(sum);
}

// Part i of [0, total) cut into `parts` pieces whose sizes differ by at most one: 49 in 4 is 13 + 12 + 12 + 12.
GROUPCONV_INLINE Range part(int64_t total, int64_t i, int64_t parts) {
  return {total * i / parts, total * (i + 1) / parts};
}

// One thread's rectangle of a grid of work.
struct Rectangle {
  Range major, minor;
};
// Cuts the major side first, so that threads share as little as possible of what the major side indexes; the minor
// side only where threads are left over.
GROUPCONV_INLINE Rectangle rectangle(int64_t major, int64_t minor, int thread, int threads) {
  const int64_t rows = max_of(1, min_of(threads, major)), columns = max_of(1, min_of(threads / rows, minor));
  if (thread >= rows * columns) return {{0, 0}, {0, 0}};
  return {part(major, thread / columns, rows), part(minor, thread % columns, columns)};
}

// How sums become outputs: start from bias, from what is there, or from zero; end with residual and activation.
struct Epilogue {
  const float* bias;      // [K], or null
  const float* residual;  // at the same offset as the output, or null
  Activation activation;
};

GROUPCONV_INLINE Vec activate(Vec v, Activation activation) {
  if (activation == Activation::None) return v;
  v = relu(v);
  return activation == Activation::Relu6 ? (v > broadcast(6.0f) ? broadcast(6.0f) : v) : v;
}

template <int D, int... Is>
GROUPCONV_INLINE void exchange(Vec& a, Vec& b, Indices<Is...>) {
  const Vec low = __builtin_shufflevector(a, b, ((Is & D) ? W + Is - D : Is)...);
  b = __builtin_shufflevector(a, b, ((Is & D) ? W + Is : Is + D)...);
  a = low;
}
template <int D = 1>
GROUPCONV_INLINE void transpose(Vec (&rows)[W]) {
  GROUPCONV_UNROLL
  for (int i = 0; i < W; ++i)
    if (!(i & D)) exchange<D>(rows[i], rows[i + D], typename MakeIndices<W>::type{});
  if constexpr (2 * D < W) transpose<2 * D>(rows);
}

}  // namespace
}  // namespace groupconv
