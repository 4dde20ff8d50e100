// The vocabulary of vectorised kernels: GCC/Clang vector extensions, one width per instruction set. Only
// `*.simd.cpp` units include it. They keep everything but their exported tables in anonymous namespaces and
// use no std templates, so that no function compiled for a wide instruction set can be merged into code for a
// narrow one.
#pragma once
#include <cstddef>
#include <cstdint>

#if !defined(GROUPCONV_ISA) || !defined(GROUPCONV_SIMD_WIDTH)
#error "simd.h belongs into units that are compiled once per instruction set"
#endif

#define GROUPCONV_INLINE inline __attribute__((always_inline))
#define GROUPCONV_INLINE_LAMBDA __attribute__((always_inline))
#define GROUPCONV_KERNEL __attribute__((noinline))  // keeps register allocation of hot loops apart
#define GROUPCONV_UNROLL _Pragma("GCC unroll 64")

namespace groupconv {
namespace {

constexpr int W = GROUPCONV_SIMD_WIDTH;  // float32 lanes of one vector, and the channel block of activations

typedef float Vec __attribute__((vector_size(W * 4), aligned(W * 4), may_alias));
typedef int32_t IntVec __attribute__((vector_size(W * 4), aligned(W * 4), may_alias));
typedef float UnalignedVec __attribute__((vector_size(W * 4), aligned(4), may_alias));

GROUPCONV_INLINE Vec load(const float* p) { return *reinterpret_cast<const Vec*>(p); }
GROUPCONV_INLINE Vec load_unaligned(const float* p) { return *reinterpret_cast<const UnalignedVec*>(p); }
GROUPCONV_INLINE void store(float* p, Vec v) { *reinterpret_cast<Vec*>(p) = v; }
GROUPCONV_INLINE void store_unaligned(float* p, Vec v) { *reinterpret_cast<UnalignedVec*>(p) = v; }
GROUPCONV_INLINE Vec zero() { return Vec{}; }
// `s - Vec{}` compiles to one broadcast (of memory, where s is loaded) under -fno-signed-zeros.
GROUPCONV_INLINE Vec broadcast(float s) { return s - Vec{}; }
GROUPCONV_INLINE Vec max(Vec a, Vec b) { return a > b ? a : b; }
GROUPCONV_INLINE Vec min(Vec a, Vec b) { return a < b ? a : b; }
// NaN stays NaN: `v < 0` is false for it.
GROUPCONV_INLINE Vec relu(Vec v) { return v < zero() ? zero() : v; }

template <int... Is>
struct Indices {};
template <int Count, int... Is>
struct MakeIndices : MakeIndices<Count - 1, Count - 1, Is...> {};
template <int... Is>
struct MakeIndices<0, Is...> {
  using type = Indices<Is...>;
};
// A compile-time number as a value: `each<N>([&](auto i) { … i.value … })`.
template <int I>
struct Constant {
  static constexpr int value = I;
};
template <class Body, int... Is>
GROUPCONV_INLINE void each_of(const Body& body, Indices<Is...>) {
  (body(Constant<Is>{}), ...);
}
template <int Count, class Body>
GROUPCONV_INLINE void each(const Body& body) {
  each_of(body, typename MakeIndices<Count>::type{});
}

// Lane l of the result is lane l ^ X of v.
template <int X, int... Is>
GROUPCONV_INLINE Vec xor_lanes_of(Vec v, Indices<Is...>) {
  return __builtin_shufflevector(v, v, (Is ^ X)...);
}
template <int X>
GROUPCONV_INLINE Vec xor_lanes(Vec v) {
  if constexpr (X == 0)
    return v;
  else
    return xor_lanes_of<X>(v, typename MakeIndices<W>::type{});
}

// Lane 0 + lane 1 + … in a fixed tree, the same on every instruction set of this width.
GROUPCONV_INLINE float sum_lanes(Vec v) {
  float lanes[W];
  store_unaligned(lanes, v);
  for (int half = W / 2; half > 0; half /= 2)
    for (int lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  return lanes[0];
}

GROUPCONV_INLINE int64_t min_of(int64_t a, int64_t b) { return a < b ? a : b; }
GROUPCONV_INLINE int64_t max_of(int64_t a, int64_t b) { return a > b ? a : b; }
GROUPCONV_INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace
}  // namespace groupconv
