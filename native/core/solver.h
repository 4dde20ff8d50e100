// Alternatives for one problem, as a list that can be read. Each operator has one ordered list per device; it
// ends in the plain reference, which accepts everything. Choosing decides and sizes; `run` does neither.
#pragma once
#include <cstddef>

namespace groupconv {

// What a device lends to a running solver (its worker pool, its CUDA stream). Each device derives its own.
struct ExecutionContext {};

// Problem is plain data that describes the work completely; Buffers holds the pointers it works on, with
// `workspace` among them. A null `workspace_bytes` means none is needed; a null `prepare` means that the
// parameter is read as it is.
template <class Problem, class Buffers>
struct Solver {
  const char* name;                 // a specification: "pointwise", "depthwise3x3"
  bool (*accepts)(const Problem&);  // whether `run` can do this problem on this machine
  void (*run)(const Problem&, const Buffers&, const ExecutionContext&);
  size_t (*workspace_bytes)(const Problem&) = nullptr;  // scratch memory, uninitialised, 64-byte aligned
  size_t (*prepared_bytes)(const Problem&) = nullptr;   // size of the parameter's derived form
  void (*prepare)(const Problem&, const float* parameter, float* prepared, const ExecutionContext&) = nullptr;
  bool in_place = true;  // whether a result may lie where an operand does, for operators that allow it
};

// What one unit exports: plain data, so that a unit of any instruction set can define it.
template <class Problem, class Buffers>
struct SolverTable {
  const Solver<Problem, Buffers>* first;
  int count;
};

}  // namespace groupconv
