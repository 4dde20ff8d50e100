// The nonlinearities of vectors: f(x), and gradient(saved, dy) with x of silu and hardswish, else y. NaN
// stays NaN. Only `*.simd.cpp` units include it.
#pragma once
#include "cpu/activate.h"
#include "cpu/exp.h"
#include "ops/activation/activation.h"

namespace groupconv {
namespace {

struct Clamped {
  explicit Clamped(Activation kind) : clamp(kind), mask(kind) {}
  GROUPCONV_INLINE Vec operator()(Vec x) const { return clamp(x); }
  GROUPCONV_INLINE Vec gradient(Vec y, Vec dy) const { return mask(y, dy); }
  Clamp clamp;
  GradientMask mask;
};

// s = sigmoid(x) and 1 - s, neither of which cancels or overflows: of e = exp(-|x|) they are 1 / (1 + e) and
// e / (1 + e).
struct Logistic {
  GROUPCONV_INLINE explicit Logistic(Vec x) {
    const Vec e = exp(x < zero() ? x : -x), larger = broadcast(1.0f) / (broadcast(1.0f) + e),
              smaller = e * larger;
    value = x < zero() ? smaller : larger;
    rest = x < zero() ? larger : smaller;
  }
  Vec value, rest;
};

struct Sigmoid {
  GROUPCONV_INLINE Vec operator()(Vec x) const { return Logistic(x).value; }
  GROUPCONV_INLINE Vec gradient(Vec y, Vec dy) const { return dy * (broadcast(1.0f) - y) * y; }
};

struct Silu {
  GROUPCONV_INLINE Vec operator()(Vec x) const { return x * Logistic(x).value; }
  GROUPCONV_INLINE Vec gradient(Vec x, Vec dy) const {
    const Logistic s(x);
    return dy * s.value * (broadcast(1.0f) + x * s.rest);
  }
};

struct Hardsigmoid {
  GROUPCONV_INLINE Vec operator()(Vec x) const { return six(x + broadcast(3.0f)) / broadcast(6.0f); }
  GROUPCONV_INLINE Vec gradient(Vec y, Vec dy) const {
    return ((y > zero()) & (y < broadcast(1.0f))) ? dy * broadcast(1.0f / 6) : zero();
  }
  Clamp six{Activation::Relu6};
};

struct Hardswish {
  GROUPCONV_INLINE Vec operator()(Vec x) const { return x * six(x + broadcast(3.0f)) / broadcast(6.0f); }
  GROUPCONV_INLINE Vec gradient(Vec x, Vec dy) const {
    const Vec between = dy * (x * broadcast(1.0f / 3) + broadcast(0.5f));
    return x < broadcast(-3.0f) ? zero() : x >= broadcast(3.0f) ? dy : between;
  }
  Clamp six{Activation::Relu6};
};

// Calls body(f) with the nonlinearity of that kind.
template <class Body>
GROUPCONV_INLINE void with_nonlinearity(Nonlinearity kind, const Body& body) {
  switch (kind) {
    case Nonlinearity::Relu:
      return body(Clamped(Activation::Relu));
    case Nonlinearity::Relu6:
      return body(Clamped(Activation::Relu6));
    case Nonlinearity::Sigmoid:
      return body(Sigmoid());
    case Nonlinearity::Silu:
      return body(Silu());
    case Nonlinearity::Hardsigmoid:
      return body(Hardsigmoid());
    case Nonlinearity::Hardswish:
      return body(Hardswish());
  }
}

}  // namespace
}  // namespace groupconv
