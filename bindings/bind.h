// Makes a JavaScript function of a C++ function, whose name is a literal: converts the arguments by their
// types, the result by its type, and errors in one place.
#pragma once
#include <tuple>
#include <type_traits>

#include "convert.h"

namespace groupconv {

constexpr size_t kMostArguments = 24;

template <class Result, class... Parameters>
napi_value convert_and_call(Arguments& arguments, Result (*function)(Parameters...)) {
  // Braces: evaluated from left to right, each taking the next argument.
  std::tuple<decltype(From<Parameters>::read(arguments))...> converted{From<Parameters>::read(arguments)...};
  if constexpr (std::is_void_v<Result>) {
    std::apply(function, converted);
    return nullptr;
  } else {
    return to_js(arguments.env, std::apply(function, converted));
  }
}

template <auto Function>
napi_value call(napi_env env, napi_callback_info info) {
  napi_value values[kMostArguments];
  Arguments arguments{env, Environment::of(env), values, kMostArguments};
  void* name;
  napi_get_cb_info(env, info, &arguments.count, values, nullptr, &name);
  arguments.function = static_cast<const char*>(name);
  arguments.count = std::min(arguments.count, kMostArguments);
  try {
    return convert_and_call(arguments, +Function);
  } catch (...) {
    Environment::throw_in_js(env);
  }
  return nullptr;
}

template <auto Function>
void bind(Napi::Env env, Napi::Object exports, const char* name) {
  napi_value function;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, call<Function>, const_cast<char*>(name), &function);
  exports.Set(name, Napi::Value(env, function));
}

}  // namespace groupconv
