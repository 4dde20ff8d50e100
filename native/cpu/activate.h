// Activations that clamp, and where their gradients stop. NaN stays NaN, and lets the gradient through, as in
// PyTorch. Only `*.simd.cpp` units include it.
#pragma once
#include "core/activation.h"
#include "cpu/simd.h"

namespace groupconv {
namespace {

struct Clamp {
  GROUPCONV_INLINE explicit Clamp(Activation kind)
      : bottom(broadcast(kind == Activation::None ? -__builtin_inff() : 0.0f)),
        top(broadcast(kind == Activation::Relu6 ? 6.0f : __builtin_inff())) {}
  GROUPCONV_INLINE Vec operator()(Vec v) const { return v < bottom ? bottom : v > top ? top : v; }
  Vec bottom, top;
};

// The gradient dy where the output y of an activation that clamps is inside its range, else zero.
struct GradientMask {
  // The comparison with NaN never holds: Relu has no upper end, and infinity lets the gradient through.
  GROUPCONV_INLINE explicit GradientMask(Activation kind)
      : top(broadcast(kind == Activation::Relu6 ? 6.0f : __builtin_nanf(""))) {}
  GROUPCONV_INLINE Vec operator()(Vec y, Vec dy) const { return ((y <= zero()) | (y >= top)) ? zero() : dy; }
  Vec top;
};

}  // namespace
}  // namespace groupconv
