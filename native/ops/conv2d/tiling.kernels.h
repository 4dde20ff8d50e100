// What the register-tiled units share: tile sizes, balanced splits, threads on a grid of outputs and pixels,
// the epilogue of a store, and transposition in registers.
#pragma once
#include "cpu/context.h"
#include "cpu/element.h"
#include "ops/conv2d/conv2d.h"

// Holds v in its register here, which keeps multiply-adds in the order of the source. GCC 12 otherwise moves
// the loads of a whole unrolled tile ahead: 135 spills beside 48 products in an SSE2 tile.
#if defined(__x86_64__)
#define GROUPCONV_PIN(v) asm volatile("" : "+v"(v))
#define GROUPCONV_KEEP(v) asm volatile("" : : "v"(v))
#elif defined(__aarch64__)
#define GROUPCONV_PIN(v) asm volatile("" : "+w"(v))
#define GROUPCONV_KEEP(v) asm volatile("" : : "w"(v))
#else
#define GROUPCONV_PIN(v)
#define GROUPCONV_KEEP(v)
#endif

namespace groupconv {
namespace {

#if defined(__aarch64__)
constexpr int kRegisters = 32;
#else
constexpr int kRegisters = W == 16 ? 32 : 16;
#endif
// kTilePixels x 2 accumulators leave registers for two weights, one broadcast and, without FMA, a product.
constexpr int kTilePixels = kRegisters == 32 ? 14 : 6;

// AVX2's unrolled pointwise tile is 1 % faster without the pin (Zen 3).
template <class Factor>
GROUPCONV_INLINE void multiply_add(Vec& sum, Factor a, Factor b) {
  sum = add_dot(sum, a, b);
  if constexpr (W != 8) GROUPCONV_PIN(sum);
}

// A factor that is still wanted here is not overwritten by its last product: sums then keep their registers.
// GCC 12 otherwise rotates AVX2's 16 and spills one within the loop.
GROUPCONV_INLINE void keep(Operand factor) {
  if constexpr (W == 8) GROUPCONV_KEEP(factor);
}

// Part i of [0, total) cut into pieces whose sizes differ by at most one: 49 in 4 is 12 + 12 + 12 + 13.
GROUPCONV_INLINE Range part(int64_t total, int64_t i, int64_t parts) {
  return {total * i / parts, total * (i + 1) / parts};
}

// One thread's rectangle of a grid of work.
struct Rectangle {
  Range major, minor;
};
// Cuts the major side first, so that threads share little of what it indexes, then the minor side.
GROUPCONV_INLINE Rectangle rectangle(int64_t major, int64_t minor, int thread, int threads) {
  const int64_t rows = max_of(1, min_of(threads, major)), columns = max_of(1, min_of(threads / rows, minor));
  if (thread >= rows * columns) return {{0, 0}, {0, 0}};
  return {part(major, thread / columns, rows), part(minor, thread % columns, columns)};
}

// What happens to sums at their store, beside the bias from which they start.
struct Epilogue {
  const float* bias;        // [K], or null
  const Element* residual;  // at the same offset as the output, or null
  Activation activation;
};

GROUPCONV_INLINE Vec activate(Vec v, Activation activation) {
  if (activation == Activation::None) return v;
  v = relu(v);
  return activation == Activation::Relu6 ? (v > broadcast(6.0f) ? broadcast(6.0f) : v) : v;
}

// Every sum of a register tile at once: asked per vector, the activation's branches are 4 % of a short tile.
template <int Count>
GROUPCONV_INLINE void activate(Vec (&sums)[Count], Activation activation) {
  if (activation == Activation::None) return;
  Vec bottom = zero(), top = broadcast(activation == Activation::Relu6 ? 6.0f : __builtin_inff());
  GROUPCONV_PIN(bottom);
  GROUPCONV_PIN(top);
  GROUPCONV_UNROLL
  for (int i = 0; i < Count; ++i) {
    const Vec v = max(bottom, sums[i]);
    sums[i] = v > top ? top : v;
  }
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
