// Timing for benchmarks: the machine's limits, and repeated runs of one piece of work.
#pragma once
#include <cstdint>
#include <vector>

#include "cpu/context.h"

namespace groupconv {

struct Timing {
  double min_seconds, median_seconds;
  std::vector<double> seconds;  // of every run, in ascending order
};

// Calls work() until `budget_seconds` have passed, at least `at_least` times, after one warm-up call. Work
// shorter than 0.2 ms is timed in groups.
template <class Work>
Timing time_work(const Work& work, double budget_seconds, int at_least = 5);

// float32 multiply-add rate of `threads` threads on the active instruction set, in FLOP/s (2 per
// multiply-add).
double measure_peak(int threads);
// Sustained copy bandwidth of `threads` threads beyond the caches, bytes read plus written per second.
double measure_bandwidth(int threads);

double seconds_now();
Timing summarise(std::vector<double> seconds);

// What a unit of one instruction set contributes: `rounds` rounds of independent multiply-adds; returns FLOP
// done.
struct PeakKernel {
  double (*run)(int64_t rounds);
};

template <class Work>
Timing time_work(const Work& work, double budget_seconds, int at_least) {
  work();
  double start = seconds_now();
  work();
  const double once = seconds_now() - start;
  const int group = once >= 2e-4 ? 1 : static_cast<int>(2e-4 / (once + 1e-9)) + 1;
  std::vector<double> samples;
  const double begin = seconds_now();
  while (seconds_now() - begin < budget_seconds || static_cast<int>(samples.size()) < at_least) {
    start = seconds_now();
    for (int i = 0; i < group; ++i) work();
    samples.push_back((seconds_now() - start) / group);
  }
  return summarise(std::move(samples));
}

}  // namespace groupconv
