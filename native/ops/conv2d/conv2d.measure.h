// Times the solvers that accept a convolution: for autotuning and for benchmarks.
#pragma once
#include "core/measure.h"
#include "ops/conv2d/conv2d.h"

namespace groupconv {

// As `measure`; the plain one is the reference. The problem's layouts are those of its tensors on the stream.
std::vector<Measurement> measure_conv2d(Stream& stream, const Conv2dProblem& problem, double budget_seconds,
                                        const std::string& which = "");

}  // namespace groupconv
