// Timing on the CPU, for benchmarks: the machine's limits, and repeated runs of one piece of work.
#pragma once
#include <cstdint>
#include <vector>

#include "core/timing.h"
#include "cpu/context.h"

namespace groupconv {

struct Timing {
  double min_seconds, median_seconds;
};

// Calls work() as `sample_times` says.
template <class Work>
Timing time_work(const Work& work, double budget_seconds, int at_least = 5) {
  const auto seconds_for = [&](int runs) {
    const double start = seconds_now();
    for (int i = 0; i < runs; ++i) work();
    return seconds_now() - start;
  };
  const std::vector<double> seconds = sample_times(seconds_for, budget_seconds, at_least);
  return {seconds.front(), seconds[seconds.size() / 2]};
}

// float32 multiply-add rate of `threads` threads on the active instruction set, in FLOP/s (2 per
// multiply-add).
double measure_peak(int threads);
// Sustained copy bandwidth of `threads` threads beyond the caches, bytes read plus written per second.
double measure_bandwidth(int threads);

// What a unit of one instruction set contributes: `rounds` rounds of independent multiply-adds; returns FLOP
// done.
struct PeakKernel {
  double (*run)(int64_t rounds);
};

}  // namespace groupconv
