#include "cpu/measure.h"
#include "cpu/simd.h"

// Keeps a vector in its register without saying what happens to it.
#if defined(__x86_64__)
#define GROUPCONV_OPAQUE(v) asm volatile("" : "+v"(v))
#else
#define GROUPCONV_OPAQUE(v) asm volatile("" : "+w"(v))
#endif

namespace groupconv {
namespace {

constexpr int kChains = 12;  // more than latency times throughput needs, fewer than there are registers

double run(int64_t rounds) {
  Vec a = broadcast(1.0f), b = broadcast(1e-9f), chains[kChains] = {};
  GROUPCONV_OPAQUE(a);
  GROUPCONV_OPAQUE(b);
  for (int64_t round = 0; round < rounds; ++round) {
    GROUPCONV_UNROLL
    for (int i = 0; i < kChains; ++i) {
      chains[i] += a * b;
      GROUPCONV_OPAQUE(chains[i]);
    }
    GROUPCONV_OPAQUE(a);
  }
  return 2.0 * W * kChains * static_cast<double>(rounds);
}

}  // namespace

namespace GROUPCONV_ISA {
extern const PeakKernel peak_kernel = {run};
}

}  // namespace groupconv
