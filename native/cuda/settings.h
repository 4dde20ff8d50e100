// What the addon lends the CUDA library: settings that a program may change at any time, and the memory of
// measured choices that is saved and loaded.
#pragma once
#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "core/tuning.h"

namespace groupconv::cuda {

// A recipe and an engine of cuDNN's with its settings, and its quickest run.
struct MeasuredEngine {
  std::string name;
  double seconds;
};

struct Settings {
  // Read when an operator is called, by the stream: Stream::liberties.
  // Whether float32 factors may be rounded to TF32 (8 bits of exponent, 10 of fraction) for the tensor cores.
  std::atomic<bool> allow_tf32{false};
  // Whether solvers that add up in changing orders are left out: then runs repeat bit by bit.
  std::atomic<bool> deterministic{true};
  // Whether cuDNN's engines are timed when a problem first comes.
  const std::atomic<bool>* autotune = nullptr;
  // cuDNN's engines by place and problem. Any thread; empty where nothing is remembered.
  std::function<std::string(const std::string& place, const std::vector<int32_t>& problem)> find_engine;
  std::function<void(const TunedChoice&)> put_engine;
  // All those that were measured for a problem, in their order. Any thread.
  std::function<void(const std::vector<MeasuredEngine>&)> tell_engines;
};

// In the library: those of the addon, or the defaults until it attaches its own.
const Settings& settings();
void attach_settings(const Settings& addons);

// In the addon.
Settings& addon_settings();
// Those of the problem that was measured last, once.
std::vector<MeasuredEngine> take_measured_engines();

}  // namespace groupconv::cuda
