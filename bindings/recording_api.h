// Recordings of a stream's work, as JavaScript handles them.
#pragma once
#include "napi_setup.h"

namespace groupconv {

void bind_recording_api(Napi::Env env, Napi::Object exports);

}  // namespace groupconv
