#include "cpu/measure.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "cpu/isa.h"

namespace groupconv {

GROUPCONV_PER_ISA(PeakKernel, peak_kernel)

double measure_peak(int threads) {
  constexpr int64_t kRounds = 200000;  // about 1 ms
  const CpuContext context(threads);
  double best = 0;
  for (int repeat = 0; repeat < 10; ++repeat) {
    std::vector<double> done(threads);
    const double start = seconds_now();
    parallel(context, [&](int thread, int) { done[thread] = peak_kernel_for(active_isa()).run(kRounds); });
    const double seconds = seconds_now() - start;
    double flop = 0;
    for (double part : done) flop += part;
    best = std::max(best, flop / seconds);
  }
  return best;
}

double measure_bandwidth(int threads) {
  constexpr size_t kBytes = size_t{64} << 20;  // per buffer: beyond every cache
  const auto from = std::make_unique<char[]>(kBytes), to = std::make_unique<char[]>(kBytes);
  std::memset(from.get(), 1, kBytes);
  const CpuContext context(threads);
  const Timing timing = time_work(
      [&] {
        parallel(context, [&](int thread, int of) {
          const Range range = share(kBytes, thread, of);
          std::memcpy(to.get() + range.begin, from.get() + range.begin, range.end - range.begin);
        });
      },
      0.1, 3);
  return 2.0 * kBytes / timing.min_seconds;
}

}  // namespace groupconv
