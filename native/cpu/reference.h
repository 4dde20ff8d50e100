// What plain references share.
#pragma once
#include "core/activation.h"

namespace groupconv {

// NaN stays NaN.
template <class T>
T activate(Activation kind, T x) {
  if (kind == Activation::None) return x;
  x = x < 0 ? 0 : x;
  return kind == Activation::Relu6 && x > 6 ? 6 : x;
}

// Whether the gradient stops at an output y.
inline bool stops_gradient(Activation kind, float y) {
  return kind != Activation::None && (y <= 0 || (kind == Activation::Relu6 && y >= 6));
}

}  // namespace groupconv
