// One conversion per C++ type, from JavaScript's positional arguments and back. TypeScript has validated
// them; what is wrong here anyway is an INVALID_ARGUMENT.
#pragma once
#include <array>
#include <string>
#include <vector>

#include "core/activation.h"
#include "environment.h"
#include "ops/activation/activation.h"
#include "ops/batchNorm/batchNorm.h"
#include "ops/conv2d/conv2d.h"
#include "ops/pool/pool.h"

namespace groupconv {

// The arguments of one call; every conversion takes the next one (or the next few).
struct Arguments {
  napi_env env;
  Environment& environment;
  const napi_value* values;
  size_t count, next = 0;
  const char* function = "";
  Stream* stream = nullptr;  // of the tensors so far
  napi_value take() {
    require(next < count, ErrorCode::InvalidArgument, "too few arguments");
    return values[next++];
  }
};

template <class T>
struct From;

inline double number_of(napi_env env, napi_value value) {
  double number;
  require(napi_get_value_double(env, value, &number) == napi_ok, ErrorCode::InvalidArgument,
          "expected a number");
  return number;
}
inline bool is_nullish(napi_env env, napi_value value) {
  napi_valuetype type;
  napi_typeof(env, value, &type);
  return type == napi_null || type == napi_undefined;
}

template <>
struct From<double> {
  static double read(Arguments& a) { return number_of(a.env, a.take()); }
};
template <>
struct From<float> {
  static float read(Arguments& a) { return static_cast<float>(number_of(a.env, a.take())); }
};
template <>
struct From<int> {
  static int read(Arguments& a) { return static_cast<int>(number_of(a.env, a.take())); }
};
template <>
struct From<int64_t> {
  static int64_t read(Arguments& a) { return static_cast<int64_t>(number_of(a.env, a.take())); }
};
template <>
struct From<uint64_t> {
  static uint64_t read(Arguments& a) { return static_cast<uint64_t>(number_of(a.env, a.take())); }
};
template <>
struct From<bool> {
  static bool read(Arguments& a) {
    bool value;
    require(napi_get_value_bool(a.env, a.take(), &value) == napi_ok, ErrorCode::InvalidArgument,
            "expected a boolean");
    return value;
  }
};
template <>
struct From<std::string> {
  static std::string read(Arguments& a) {
    const napi_value value = a.take();
    size_t length;
    require(napi_get_value_string_utf8(a.env, value, nullptr, 0, &length) == napi_ok,
            ErrorCode::InvalidArgument, "expected a string");
    std::string text(length, '\0');
    napi_get_value_string_utf8(a.env, value, text.data(), length + 1, &length);
    return text;
  }
};
template <>
struct From<const std::string&> : From<std::string> {};
template <>
struct From<napi_value> {
  static napi_value read(Arguments& a) { return a.take(); }
};
template <>
struct From<Environment&> {  // takes no argument
  static Environment& read(Arguments& a) { return a.environment; }
};

// All tensors of one call are on one device.
inline Tensor& tensor_of(Arguments& a, napi_value value) {
  Tensor& tensor = a.environment.unwrap(value);
  if (!a.stream) {
    a.stream = &tensor.stream();
    a.environment.use(*a.stream);
  }
  if (a.stream != &tensor.stream())
    fail(ErrorCode::InvalidArgument, a.function, ": tensors on ", a.stream->device(), " and ",
         tensor.stream().device());
  return tensor;
}
template <>
struct From<Tensor&> {
  static Tensor& read(Arguments& a) { return tensor_of(a, a.take()); }
};
template <>
struct From<Tensor*> {  // null and undefined are a null pointer
  static Tensor* read(Arguments& a) {
    const napi_value value = a.take();
    return is_nullish(a.env, value) ? nullptr : &tensor_of(a, value);
  }
};
template <>
struct From<const Tensor&> : From<Tensor&> {};
template <>
struct From<const Tensor*> : From<Tensor*> {};

inline std::vector<napi_value> elements_of(napi_env env, napi_value array) {
  uint32_t length;
  require(napi_get_array_length(env, array, &length) == napi_ok, ErrorCode::InvalidArgument,
          "expected an array");
  std::vector<napi_value> elements(length);
  for (uint32_t i = 0; i < length; ++i) napi_get_element(env, array, i, &elements[i]);
  return elements;
}
template <class T>
struct From<const std::vector<T>&> {
  static std::vector<T> read(Arguments& a) {
    const std::vector<napi_value> elements = elements_of(a.env, a.take());
    Arguments inner{a.env, a.environment, elements.data(), elements.size(), 0, a.function, a.stream};
    std::vector<T> values;
    while (inner.next < inner.count) values.push_back(From<T>::read(inner));
    a.stream = inner.stream;
    return values;
  }
};
template <>
struct From<const Shape&> {
  static Shape read(Arguments& a) {
    Shape shape;
    for (napi_value extent : elements_of(a.env, a.take()))
      shape.push_back(static_cast<int64_t>(number_of(a.env, extent)));
    return shape;
  }
};

template <>
struct From<DType> {  // 0 float32, 1 bfloat16, 2 float16, 3 int32
  static DType read(Arguments& a) { return static_cast<DType>(From<int>::read(a)); }
};
template <>
struct From<Device> {  // the index of a CUDA device, -1 for the CPU
  static Device read(Arguments& a) {
    const int index = From<int>::read(a);
    return index < 0 ? Device{DeviceKind::Cpu, 0} : Device{DeviceKind::Cuda, index};
  }
};
template <>
struct From<Activation> {  // 0 none, 1 relu, 2 relu6
  static Activation read(Arguments& a) { return static_cast<Activation>(From<int>::read(a)); }
};
template <>
struct From<Nonlinearity> {  // 1 relu, 2 relu6, 3 sigmoid, 4 silu, 5 hardsigmoid, 6 hardswish
  static Nonlinearity read(Arguments& a) { return static_cast<Nonlinearity>(From<int>::read(a)); }
};
template <>
struct From<GradMode> {  // true accumulates
  static GradMode read(Arguments& a) {
    return From<bool>::read(a) ? GradMode::Accumulate : GradMode::Overwrite;
  }
};
template <>
struct From<GradTarget> {  // tensor or null, accumulate
  static GradTarget read(Arguments& a) {
    Tensor* tensor = From<Tensor*>::read(a);
    return {tensor, From<GradMode>::read(a)};
  }
};
template <>
struct From<Residual> {  // tensor or null, expendable
  static Residual read(Arguments& a) {
    Tensor* tensor = From<Tensor*>::read(a);
    return {tensor, From<bool>::read(a)};
  }
};
// `Count` numbers of one Int32Array, whose memory V8 makes only when it is looked at here: not for what comes
// often.
template <size_t Count>
struct From<std::array<int32_t, Count>> {
  static std::array<int32_t, Count> read(Arguments& a) {
    napi_typedarray_type type;
    size_t length;
    void* data;
    require(napi_get_typedarray_info(a.env, a.take(), &type, &length, &data, nullptr, nullptr) == napi_ok &&
                type == napi_int32_array && length == Count,
            ErrorCode::InvalidArgument, "expected an Int32Array of ", Count);
    std::array<int32_t, Count> numbers;
    std::copy_n(static_cast<const int32_t*>(data), Count, numbers.begin());
    return numbers;
  }
};
// `Count` numbers, one argument each.
template <size_t Count>
std::array<int32_t, Count> numbers_of(Arguments& a) {
  std::array<int32_t, Count> numbers;
  for (int32_t& number : numbers) number = From<int>::read(a);
  return numbers;
}
template <>
struct From<const Conv2dGeometry&> {  // stride, dilation, padding (top, right, bottom, left), groups
  static Conv2dGeometry read(Arguments& a) {
    const auto n = numbers_of<9>(a);
    return {{n[0], n[1]}, {n[2], n[3]}, {n[4], n[5], n[6], n[7]}, n[8]};
  }
};
template <>
struct From<const PoolGeometry&> {  // kernel, stride, padding (top, right, bottom, left)
  static PoolGeometry read(Arguments& a) {
    const auto n = numbers_of<8>(a);
    return {{n[0], n[1]}, {n[2], n[3]}, {n[4], n[5], n[6], n[7]}};
  }
};

inline napi_value to_js(napi_env, napi_value value) { return value; }
inline napi_value to_js(napi_env env, bool value) { return Napi::Boolean::New(env, value); }
inline napi_value to_js(napi_env env, double value) { return Napi::Number::New(env, value); }
inline napi_value to_js(napi_env env, const std::string& value) { return Napi::String::New(env, value); }
inline napi_value to_js(napi_env env, TensorPtr tensor) {
  return Environment::of(env).wrap(std::move(tensor));
}
template <class T>
napi_value to_js(napi_env env, const std::vector<T>& values) {
  const Napi::Array array = Napi::Array::New(env, values.size());
  for (size_t i = 0; i < values.size(); ++i)
    array.Set(static_cast<uint32_t>(i), Napi::Value(env, to_js(env, values[i])));
  return array;
}
inline napi_value to_js(napi_env env, const BatchNormForward& forward) {
  return to_js(env, std::vector<TensorPtr>{forward.y, forward.statistics});
}

}  // namespace groupconv
