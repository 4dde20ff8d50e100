// Autotuning of cuDNN's engines for a while, and all that comes of it, for the tests.
#pragma once
#include <atomic>
#include <string>
#include <vector>

#include "cuda/settings.h"

namespace groupconv::test {

// The library's settings while it lives, in place of the addon's. `on` may be changed.
struct Autotuning {
  Autotuning() {
    settings_.autotune = &on;
    settings_.put_engine = [this](const TunedChoice& choice) { kept.push_back(choice); };
    settings_.find_engine = [this](const std::string& place, const std::vector<int32_t>& problem) {
      for (const TunedChoice& choice : kept)
        if (place == choice.place && problem == choice.problem) return choice.solver;
      return std::string();
    };
    settings_.tell_engines = [this](const std::vector<cuda::MeasuredEngine>& engines) { told = engines; };
    cuda::attach_settings(settings_);
  }
  ~Autotuning() { cuda::attach_settings(cuda::addon_settings()); }
  Autotuning(const Autotuning&) = delete;

  std::atomic<bool> on{true};
  std::vector<TunedChoice> kept;           // the choices, in order; found again by whoever asks for them
  std::vector<cuda::MeasuredEngine> told;  // the engines of the problem that was measured last

 private:
  cuda::Settings settings_;
};

}  // namespace groupconv::test
