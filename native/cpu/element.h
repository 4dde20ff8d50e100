// A unit's element type: what activations and packed weights are stored in. Sums, biases and other parameters
// are float32 (Vec) whatever it is: load and broadcast widen, store rounds.
//
// A register tile multiplies operands. A lane of one is 32 bits and holds the kDotDepth channels whose
// products one instruction adds up: one of float32, two of bfloat16. Packed weights are laid out to match:
// [input channels / kDotDepth, W, kDotDepth].
#pragma once
#include "cpu/bfloat16.h"
#include "cpu/simd.h"

#if !defined(GROUPCONV_ELEMENT)
#define GROUPCONV_ELEMENT float
#endif

namespace groupconv {
namespace {

typedef GROUPCONV_ELEMENT Element;

constexpr int64_t kElementBytes = sizeof(Element);
constexpr int kDotDepth = 4 / kElementBytes;
constexpr int kLine = 64 / kElementBytes;  // elements of one cache line

// Where an input channel of an output channel is packed, with `pitch` elements per input channel.
GROUPCONV_INLINE int64_t packed_at(int64_t input, int64_t output, int64_t pitch) {
  const int64_t within = input % kDotDepth;
  return (input - within) * pitch + output * kDotDepth + within;
}

// As packed.
GROUPCONV_INLINE Vec load_operand(const float* p) { return load(p); }
// kDotDepth channels of one pixel, for all lanes.
GROUPCONV_INLINE Vec broadcast_operand(const float* p) { return broadcast(*p); }
// For every lane, the kDotDepth channels of one pixel that its own is one of.
GROUPCONV_INLINE Vec load_own_operand(const float* p) { return load(p); }
// Packs kDotDepth rows, which are input channels of W output channels.
GROUPCONV_INLINE void store_operand(float* p, const Vec (&rows)[W], int first) { store(p, rows[first]); }
// sum + the products of every lane's kDotDepth channels.
GROUPCONV_INLINE Vec add_dot(Vec sum, Vec a, Vec b) { return sum + a * b; }

template <class T>
struct OperandOf;
template <>
struct OperandOf<float> {
  typedef Vec Type;
};
template <>
struct OperandOf<BFloat16> {
  typedef Pairs Type;
};
typedef OperandOf<Element>::Type Operand;

// The activations and packed weights of solvers, whose buffers don't say what they are stored in.
GROUPCONV_INLINE const Element* elements(const float* p) { return reinterpret_cast<const Element*>(p); }
GROUPCONV_INLINE Element* elements(float* p) { return reinterpret_cast<Element*>(p); }

}  // namespace
}  // namespace groupconv
