// Element types. bfloat16 and float16 are stored as 16-bit patterns; arithmetic happens in float32.
#pragma once
#include <cstddef>
#include <cstdint>

namespace groupconv {

// 32 bits wide: a field of problems, whose bytes are keys.
enum class DType : int32_t { Float32, BFloat16, Float16, Int32 };

constexpr size_t size_of(DType dtype) { return dtype == DType::Float32 || dtype == DType::Int32 ? 4 : 2; }

constexpr const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::Float32:
      return "float32";
    case DType::BFloat16:
      return "bfloat16";
    case DType::Float16:
      return "float16";
    case DType::Int32:
      return "int32";
  }
  return "?";
}

}  // namespace groupconv
