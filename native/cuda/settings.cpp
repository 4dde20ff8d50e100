#include "cuda/settings.h"

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

}  // namespace

Settings& addon_settings() {
  static Settings settings;
  static const bool filled = [] {
    settings.autotune = &autotune_enabled;
    settings.find_engine = [](const std::string& place, const std::vector<int32_t>& problem) {
      return engines.tuning.find(place, problem);
    };
    settings.put_engine = [](const TunedChoice& choice) { engines.tuning.put(choice); };
    return true;
  }();
  static_cast<void>(filled);
  return settings;
}

}  // namespace groupconv::cuda
