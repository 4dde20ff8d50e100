// What plain references share.
#pragma once
#include "core/activation.h"
#include "core/broadcast.h"

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

// Calls body(element of x, element of the values).
template <class Body>
void for_operands(const Broadcast& p, const Body& body) {
  for (int64_t i = 0; i < p.size(); ++i) body(i, i / (p.pixels * p.lanes) % p.blocks * p.lanes + i % p.lanes);
}

}  // namespace groupconv
