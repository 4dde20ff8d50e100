// What JavaScript can ask of devices and of memory; the operators are in addon.cpp.
#pragma once
#include "napi_setup.h"

namespace groupconv {

void bind_device_api(Napi::Env env, Napi::Object exports);

}  // namespace groupconv
