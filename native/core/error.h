// The one error type of the native side. `bindings/` translates it, once, into JavaScript's GroupConvError;
// nothing in native/ prints, aborts or exits.
#pragma once
#include <exception>
#include <sstream>
#include <string>
#include <utility>

namespace groupconv {

enum class ErrorCode {
  InvalidArgument,
  InvalidShape,
  Unsupported,
  OutOfMemory,
  DeviceUnavailable,
  DeviceFailure,
  Disposed,
  InvalidFile,
};

// The spelling that JavaScript sees as `error.code`, e.g. "INVALID_SHAPE".
const char* code_name(ErrorCode code);

class Error : public std::exception {
 public:
  Error(ErrorCode code, std::string message) : code_(code), message_(std::move(message)) {}
  ErrorCode code() const { return code_; }
  const std::string& message() const { return message_; }
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  ErrorCode code_;
  std::string message_;
};

// fail(ErrorCode::InvalidShape, "conv2d: x has rank ", rank) throws with the parts joined.
template <class... Parts>
[[noreturn]] void fail(ErrorCode code, const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  throw Error(code, text.str());
}

template <class... Parts>
void require(bool holds, ErrorCode code, const Parts&... parts) {
  if (!holds) fail(code, parts...);
}

}  // namespace groupconv
