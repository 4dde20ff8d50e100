#include "cuda/settings.h"

#include <mutex>
#include <utility>

#include "core/dispatch.h"

namespace groupconv::cuda {
namespace {

// cuDNN's engines stand beside the operators' solvers among the choices that are saved and loaded.
class Engines final : public AnyRegistry {
 public:
  Engines() : AnyRegistry("cudnn") {}
  std::vector<std::string> solver_names(DeviceKind) const override { return {}; }
  void adopt(DeviceKind, const void* const*, int, size_t, size_t) override {
    fail(ErrorCode::InvalidArgument, "cudnn: is no operator");
  }
  // Which engines a cuDNN has, it alone can tell.
  bool may_choose(const std::string& engine) const override { return !engine.empty(); }
} engines;

// For whoever compares them: one problem's at a time, so that nothing grows.
struct {
  std::mutex mutex;
  std::vector<MeasuredEngine> engines;
} measured_last;

}  // namespace

Settings& addon_settings() {
  static Settings settings;
  static const bool filled = [] {
    settings.autotune = &autotune_enabled;
    settings.find_engine = [](const std::string& place, const std::vector<int32_t>& problem) {
      return engines.tuning.find(place, problem);
    };
    settings.put_engine = [](const TunedChoice& choice) { engines.tuning.put(choice); };
    settings.tell_engines = [](const std::vector<MeasuredEngine>& told) {
      const std::lock_guard lock(measured_last.mutex);
      measured_last.engines = told;
    };
    return true;
  }();
  static_cast<void>(filled);
  return settings;
}

std::vector<MeasuredEngine> take_measured_engines() {
  const std::lock_guard lock(measured_last.mutex);
  return std::exchange(measured_last.engines, {});
}

}  // namespace groupconv::cuda
