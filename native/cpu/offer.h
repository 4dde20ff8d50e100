// How an operator's .cpu.cpp makes its solvers known: those of the instruction set in use, then the plain
// references.
#pragma once
#include "core/dispatch.h"
#include "cpu/isa.h"

namespace groupconv {

template <class Problem, class Buffers, int Count>
SolverTable<Problem, Buffers> table_of(const Solver<Problem, Buffers> (&solvers)[Count]) {
  return {solvers, Count};
}

// const bool offered = offer<pool_registry, references, max_pool_solvers_for, avg_pool_solvers_for>();
template <auto registry, const auto& references, auto... solvers_for>
bool offer() {
  return registry().add(
      DeviceKind::Cpu, []() -> const auto& {
        return for_active_isa([]([[maybe_unused]] Isa isa) {
          return join({solvers_for(isa)..., table_of(references)});
        });
      });
}

}  // namespace groupconv
