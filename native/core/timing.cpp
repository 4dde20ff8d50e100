#include "core/timing.h"

#include <algorithm>
#include <chrono>

namespace groupconv {

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::vector<double> sample_times(const std::function<double(int runs)>& seconds_for, double budget_seconds,
                                 int at_least) {
  constexpr double kLeastSeconds = 2e-4;
  seconds_for(1);
  const double once = seconds_for(1);
  const int group = once >= kLeastSeconds ? 1 : static_cast<int>(kLeastSeconds / (once + 1e-9)) + 1;
  std::vector<double> samples;
  const double begin = seconds_now();
  while (seconds_now() - begin < budget_seconds || static_cast<int>(samples.size()) < at_least)
    samples.push_back(seconds_for(group) / group);
  std::sort(samples.begin(), samples.end());
  return samples;
}

}  // namespace groupconv
