// Times the solvers that accept a linear layer's product: for autotuning and for benchmarks.
#pragma once
#include "core/measure.h"
#include "ops/linear/linear.h"

namespace groupconv {

// As `measure`; the plain one is the CPU's reference.
std::vector<Measurement> measure_linear(Stream& stream, const LinearProblem& problem, double budget_seconds,
                                        const std::string& which = "");

}  // namespace groupconv
