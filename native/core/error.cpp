#include "core/error.h"

namespace groupconv {

const char* code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::InvalidArgument:
      return "INVALID_ARGUMENT";
    case ErrorCode::InvalidShape:
      return "INVALID_SHAPE";
    case ErrorCode::Unsupported:
      return "UNSUPPORTED";
    case ErrorCode::OutOfMemory:
      return "OUT_OF_MEMORY";
    case ErrorCode::DeviceUnavailable:
      return "DEVICE_UNAVAILABLE";
    case ErrorCode::DeviceFailure:
      return "DEVICE_FAILURE";
    case ErrorCode::Disposed:
      return "DISPOSED";
    case ErrorCode::InvalidFile:
      return "INVALID_FILE";
  }
  return "DEVICE_FAILURE";
}

}  // namespace groupconv
