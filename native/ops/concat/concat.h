// Joining tensors along an axis and cutting parts out of one, as torch.cat and torch.narrow. Both are copies
// of a part of one tensor into a part of another:
//
//   concat: y[…, begin_i + j, …] = x_i[…, j, …]        slice: y[…, j, …] = x[…, begin + j, …]
#pragma once
#include <vector>

#include "core/dispatch.h"
#include "core/tensor.h"

namespace groupconv {

// Both sides are [outer, extent, inner], or, blocked along the axis, [outer, extent / block, inner, block].
// Where the copy ends at the target's extent, the target's pad lanes become zero.
struct ConcatProblem {
  int64_t outer, inner, count;  // count: how much of the axis is copied
  int64_t from_extent, from_begin, to_extent, to_begin;
  int32_t from_block, to_block;  // where both are 1, the axis lies in plain runs
  DType dtype;
  bool accumulate;  // float types: add to the target
  bool clear;       // the target's other elements become zero
};
std::ostream& operator<<(std::ostream& out, const ConcatProblem& problem);

struct ConcatBuffers {
  const float* from;
  float* to;
  void* workspace = nullptr;
};

using ConcatSolver = Solver<ConcatProblem, ConcatBuffers>;
using ConcatTable = SolverTable<ConcatProblem, ConcatBuffers>;
Registry<ConcatProblem, ConcatBuffers>& concat_registry();

// All of one dtype, and of one shape but for the axis. A negative axis counts from the end.
TensorPtr concat(const std::vector<const Tensor*>& inputs, int axis);
TensorPtr slice(const Tensor& x, int axis, int64_t begin, int64_t size);
// The gradient of slice: adds dy to dx from `begin` on; overwriting, the rest of dx becomes zero.
void slice_grad(const Tensor& dy, int axis, int64_t begin, Tensor& dx, GradMode mode);

}  // namespace groupconv
