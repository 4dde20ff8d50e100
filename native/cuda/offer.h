// How an operator's CUDA file makes its solvers known, inside the library.
#pragma once
#include "core/dispatch.h"
#include "cuda/backend.h"

namespace groupconv::cuda {

std::vector<SolverOffer>& offers();

// const bool offered = offer("add", SolverList<AddProblem, AddBuffers>{…});
template <class Problem, class Buffers>
bool offer(const char* op, const SolverList<Problem, Buffers>& list) {
  SolverOffer offer{op, {}, sizeof(Problem), sizeof(Buffers)};
  for (const auto* solver : list) offer.solvers.push_back(solver);
  offers().push_back(std::move(offer));
  return true;
}
template <class Problem, class Buffers>
bool offer(const char* op, std::initializer_list<SolverTable<Problem, Buffers>> tables) {
  return offer(op, join<Problem, Buffers>(tables));
}

}  // namespace groupconv::cuda
