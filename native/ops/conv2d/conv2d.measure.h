// Times the solvers that accept a problem, on a stream of any device: for autotuning and for benchmarks.
#pragma once
#include <string>
#include <vector>

#include "ops/conv2d/conv2d.h"

namespace groupconv {

struct Conv2dMeasurement {
  std::string solver;
  std::vector<double> seconds;  // of one run, in ascending order, by the device's clock
};

// On random data, weights prepared beforehand. In the order of the solver list, whose last one, the
// reference, is left out. `which` is a solver's name (the reference's, too), "chosen" for the first that
// accepts the problem alone, or "" for all. The problem's layouts are those of its tensors on the stream.
// Throws OUT_OF_MEMORY.
std::vector<Conv2dMeasurement> measure_conv2d(Stream& stream, const Conv2dProblem& problem,
                                              double budget_seconds, const std::string& which = "");

}  // namespace groupconv
