// Times every solver that accepts a problem, on random data, weights prepared beforehand.
#pragma once
#include <string>
#include <vector>

#include "cpu/measure.h"
#include "ops/conv2d/conv2d.h"

namespace groupconv {

struct Conv2dMeasurement {
  std::string solver;
  Timing timing;
};

// In the order of the solver list; the first is what conv2d would choose. "reference" is left out. `which` is
// a solver's name, "chosen" for the first that accepts the problem alone, or "" for all that do. The
// problem's layouts are those of its tensors on the stream, which lends memory only: the work runs at once.
std::vector<Conv2dMeasurement> measure_conv2d(Stream& stream, const Conv2dProblem& problem, int threads,
                                              double budget_seconds, const std::string& which = "");

}  // namespace groupconv
