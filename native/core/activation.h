// The activation that a kernel may apply at its store: part of several operators' problems.
#pragma once
#include <cstdint>

namespace groupconv {

enum class Activation : int32_t { None, Relu, Relu6 };

}  // namespace groupconv
