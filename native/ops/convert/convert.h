// Copies that may change the element type, and filling with one value. float32, bfloat16, float16 and int32
// convert into one another through float32, rounding to nearest, ties to even; beyond float16 lies infinity.
// To int32 fractions are cut off as in PyTorch; what int32 cannot hold becomes its nearest value, and NaN
// becomes 0.
#pragma once
#include "core/dispatch.h"
#include "core/tensor.h"

namespace groupconv {

struct ConvertProblem {
  DType from, to;  // the same: a plain copy
  int64_t size;    // elements in memory: zeros of pad lanes stay zero
};
std::ostream& operator<<(std::ostream& out, const ConvertProblem& problem);
struct ConvertBuffers {
  const void* from;
  void* to;
  void* workspace = nullptr;
};

struct FillProblem {
  DType dtype;
  double value;
  int64_t size;
};
std::ostream& operator<<(std::ostream& out, const FillProblem& problem);
struct FillBuffers {
  void* target;
  void* workspace = nullptr;
};

using ConvertSolver = Solver<ConvertProblem, ConvertBuffers>;
using ConvertTable = SolverTable<ConvertProblem, ConvertBuffers>;
Registry<ConvertProblem, ConvertBuffers>& convert_registry();
using FillSolver = Solver<FillProblem, FillBuffers>;
Registry<FillProblem, FillBuffers>& fill_registry();

TensorPtr cast(const Tensor& x, DType dtype);
TensorPtr clone(const Tensor& x);
// int32: a whole number within its range.
void fill(Tensor& target, double value);
// The target keeps its identity and gets the source's value. Both have the same shape and dtype.
void copy(Tensor& target, const Tensor& source);

}  // namespace groupconv
