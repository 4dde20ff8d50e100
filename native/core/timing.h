// Timing of work that is run again and again, by whatever clock.
#pragma once
#include <functional>
#include <vector>

namespace groupconv {

// By the processor's steady clock.
double seconds_now();

// `seconds_for(runs)` runs the work so many times in a row and says how long that took. After one warm-up run
// it is called until `budget_seconds` have passed, at least `at_least` times; work shorter than 0.2 ms is
// timed in groups. The seconds of one run, of every sample, in ascending order.
std::vector<double> sample_times(const std::function<double(int runs)>& seconds_for, double budget_seconds,
                                 int at_least = 5);

}  // namespace groupconv
