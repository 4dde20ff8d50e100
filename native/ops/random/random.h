// Counter-based random numbers: element i of a call is a function of (seed, offset + i) alone, with i counted
// in row-major order. So layouts, threads and instruction sets don't matter, and a call with offset + n goes
// on where a call for n elements ended.
//
// Where a call starts is read from memory when it runs, so that recorded work goes on with new numbers.
//
// Source: Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3; SC 2011).
// Position p = offset + i reads word p % 4 of the block with counter p / 4 and the seed as key.
//   uniform: u = (word >> 8) 2^-24, low + (high - low) u
//   normal: Box-Muller over the two words of p's pair, in float64
//   dropout: y = x / (1 - p) where u >= p, else 0
#pragma once
#include <array>

#include "core/dispatch.h"
#include "core/tensor.h"

namespace groupconv {

enum class RandomKind : int32_t { Uniform, Normal, Dropout };

struct RandomProblem {
  RandomKind kind;
  DType dtype;           // dropout: of x and y; else float32
  double a, b;           // low and high; mean and deviation; probability and scale
  int64_t n, c, pixels;  // the elements in logical order; row-major shapes are 1, 1, size
  int32_t block;         // of x and y: [n, c / block, pixels, block]
};
std::ostream& operator<<(std::ostream& out, const RandomProblem& problem);

// Where a sequence goes on; 64-bit numbers as two words, the lower one first.
struct RandomPosition {
  uint32_t seed[2], offset[2];
};

struct RandomBuffers {
  const float* x;                  // dropout
  const RandomPosition* position;  // in the device's memory
  float* y;                        // pad lanes become zero
  void* workspace = nullptr;
};

using RandomSolver = Solver<RandomProblem, RandomBuffers>;
Registry<RandomProblem, RandomBuffers>& random_registry();

using PhiloxBlock = std::array<uint32_t, 4>;
PhiloxBlock philox(PhiloxBlock counter, std::array<uint32_t, 2> key);

// `position` is a RandomPosition, int32 [4]. `target` is float32; in [low, high), unless rounding leaves no
// number between them.
void random_uniform(Tensor& target, const Tensor& position, float low, float high);
void random_normal(Tensor& target, const Tensor& position, float mean, float std);
// p: the probability of a zero, from 0 to 1. The gradient is the same function of dy.
TensorPtr dropout(const Tensor& x, float p, const Tensor& position);

}  // namespace groupconv
