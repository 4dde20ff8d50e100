#include "cuda/settings.h"

namespace groupconv::cuda {
namespace {

const Settings defaults;
std::atomic<const Settings*> attached{&defaults};

}  // namespace

const Settings& settings() { return *attached; }
void attach_settings(const Settings& addons) { attached = &addons; }

}  // namespace groupconv::cuda
