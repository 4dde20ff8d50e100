// The float32 matrix product of the CPU: C = op(A) op(B), or C += op(A) op(B). C is [m, n], op(A) [m, k],
// op(B) [k, n]; all row-major. Sums over k run in a fixed order: results don't depend on the number of
// threads.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/solver.h"

namespace groupconv {

struct GemmProblem {
  int64_t m, n, k;
  bool transpose_a, transpose_b;  // A is stored [k, m], B is stored [n, k]
  int64_t lda, ldb, ldc;          // elements between two stored rows
  bool accumulate;
};

// One instruction set's product. A unit of an instruction set calls its own, `GROUPCONV_ISA::gemm`;
// others declare it with GROUPCONV_PER_ISA(Gemm, gemm).
struct Gemm {
  size_t (*workspace_bytes)(const GemmProblem&);
  // C must not overlap A or B; the workspace is 64-byte aligned.
  void (*run)(const GemmProblem&, const float* a, const float* b, float* c, void* workspace,
              const ExecutionContext&);
};

// Problems too thin to repay packing, read in place: a few rows against a weight in either form.
struct GemmThin {
  bool (*accepts)(const GemmProblem&);
  void (*run)(const GemmProblem&, const float* a, const float* b, float* c, const ExecutionContext&);
};

}  // namespace groupconv
