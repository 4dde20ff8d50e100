// Waiting for what comes soon: a thread that sleeps needs some 50 us to come back, and who wakes it some 5
// us.
#pragma once
#include <thread>

namespace groupconv {

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Looks about `spins` times whether it holds; 100 take about a microsecond. On a lone processor it looks only
// once: nobody could make it hold meanwhile.
template <class Condition>
bool spin_until(const Condition& holds, int spins) {
  static const bool alone = std::thread::hardware_concurrency() == 1;
  for (int spin = 0; !holds(); ++spin) {
    if (spin >= spins || alone) return false;
    relax();
  }
  return true;
}

}  // namespace groupconv
