// bfloat16, the upper half of a float32: storage for activations and packed weights. Loads widen; stores
// round to nearest, ties to even. Multiply-adds take pairs: a lane of 32 bits holds two neighbouring
// channels.
#pragma once
#include "cpu/simd.h"
#if defined(__AVX512BF16__)
#include <immintrin.h>
#elif defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
#include <arm_neon.h>
#endif

namespace groupconv {
namespace {

typedef uint32_t BitsVec __attribute__((vector_size(W * 4), aligned(W * 4), may_alias));
typedef uint16_t UpperVec __attribute__((vector_size(W * 2), aligned(W * 2), may_alias));
typedef int32_t HalfIntVec __attribute__((vector_size(W * 2), aligned(W * 2), may_alias));

constexpr uint32_t kUpperBits = 0xffff0000;

// The upper bits of each lane are the rounded number; a NaN stays one.
GROUPCONV_INLINE BitsVec rounded(Vec v) {
  const BitsVec bits = reinterpret_cast<BitsVec>(v);
  return v == v ? bits + 0x7fff + (bits >> 16 & 1) : bits | 0x400000;
}

struct BFloat16 {
  uint16_t bits;

  BFloat16() = default;
  explicit BFloat16(float v) {
    uint32_t word;
    __builtin_memcpy(&word, &v, sizeof word);
    bits = static_cast<uint16_t>((v == v ? word + 0x7fff + (word >> 16 & 1) : word | 0x400000) >> 16);
  }
  operator float() const {
    const uint32_t word = uint32_t{bits} << 16;
    float v;
    __builtin_memcpy(&v, &word, sizeof v);
    return v;
  }
};

GROUPCONV_INLINE Vec load(const BFloat16* p) {
  return reinterpret_cast<Vec>(__builtin_convertvector(*reinterpret_cast<const UpperVec*>(p), BitsVec) << 16);
}
GROUPCONV_INLINE void store(BFloat16* p, Vec v) {
  *reinterpret_cast<UpperVec*>(p) = __builtin_convertvector(rounded(v) >> 16, UpperVec);
}
GROUPCONV_INLINE Vec broadcast(BFloat16 s) { return broadcast(float{s}); }

// Two channels per lane, the first in the lower bits. The functions are described in element.h.
typedef BitsVec Pairs;

GROUPCONV_INLINE Pairs load_operand(const BFloat16* p) { return *reinterpret_cast<const Pairs*>(p); }
GROUPCONV_INLINE Pairs broadcast_operand(const BFloat16* p) {
  uint32_t pair;
  __builtin_memcpy(&pair, p, sizeof pair);
  return pair | Pairs{};
}
template <int... Is>
GROUPCONV_INLINE Pairs twice_each(HalfIntVec pairs, Indices<Is...>) {
  return reinterpret_cast<Pairs>(__builtin_shufflevector(pairs, pairs, (Is / 2)...));
}
GROUPCONV_INLINE Pairs load_own_operand(const BFloat16* p) {
  return twice_each(*reinterpret_cast<const HalfIntVec*>(p), typename MakeIndices<W>::type{});
}
GROUPCONV_INLINE void store_operand(BFloat16* p, const Vec (&rows)[W], int first) {
  *reinterpret_cast<Pairs*>(p) = rounded(rows[first]) >> 16 | (rounded(rows[first + 1]) & kUpperBits);
}

GROUPCONV_INLINE Vec add_dot(Vec sum, Pairs a, Pairs b) {
#if defined(__AVX512BF16__) && GROUPCONV_SIMD_WIDTH == 16
  return reinterpret_cast<Vec>(_mm512_dpbf16_ps(reinterpret_cast<__m512>(sum), reinterpret_cast<__m512bh>(a),
                                                reinterpret_cast<__m512bh>(b)));
#elif defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
  return reinterpret_cast<Vec>(vbfdotq_f32(reinterpret_cast<float32x4_t>(sum),
                                           reinterpret_cast<bfloat16x8_t>(a),
                                           reinterpret_cast<bfloat16x8_t>(b)));
#else
  sum += reinterpret_cast<Vec>(a << 16) * reinterpret_cast<Vec>(b << 16);
  return sum + reinterpret_cast<Vec>(a & kUpperBits) * reinterpret_cast<Vec>(b & kUpperBits);
#endif
}

}  // namespace
}  // namespace groupconv
