// The one include of napi.h. Terminating a worker during a call must not abort the process, hence the second
// define.
#pragma once
#define NAPI_VERSION 8
#define NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS
#define NODE_ADDON_API_CPP_EXCEPTIONS
#include <napi.h>
