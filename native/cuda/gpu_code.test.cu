// Which GPUs a build serves.
#include "cuda/gpu_code.h"

#include "core/check.h"

int main() {
  using groupconv::cuda::runs_on;
  CHECK(runs_on("sm_80", 80) && runs_on("sm_80", 89) && !runs_on("sm_80", 75) && !runs_on("sm_80", 90));
  CHECK(runs_on("sm_86", 86) && runs_on("sm_86", 89) && !runs_on("sm_86", 80));
  CHECK(runs_on("sm_100", 103) && !runs_on("sm_100", 110) && !runs_on("sm_100", 120));
  CHECK(runs_on("compute_90", 90) && runs_on("compute_90", 121) && !runs_on("compute_90", 89));
  for (const char* own : {"sm_90a", "compute_90a"})
    CHECK(runs_on(own, 90) && !runs_on(own, 89) && !runs_on(own, 100));
  CHECK(!runs_on("sm_100a", 103));
  for (const char* family : {"sm_100f", "compute_100f"})
    CHECK(runs_on(family, 100) && runs_on(family, 103) && !runs_on(family, 110) && !runs_on(family, 90));
  const char* const usual = "sm_80 sm_86 sm_89 sm_90 sm_100 sm_120 compute_120";
  for (const int capability : {80, 86, 87, 89, 90, 100, 103, 120, 121, 130})
    CHECK(runs_on(usual, capability));
  for (const int capability : {70, 75, 110}) CHECK(!runs_on(usual, capability));
  CHECK(!runs_on("", 90));
  return groupconv::test::report();
}
