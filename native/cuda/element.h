// Element types on the GPU, and their conversion to the float32 in which everything is computed.
#pragma once
#include <cuda_runtime.h>
#ifndef GROUPCONV_EMULATED
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

#include <cstdint>
#include <type_traits>

#include "core/dtype.h"
#include "core/error.h"

namespace groupconv::cuda {

struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

__host__ __device__ __forceinline__ float bits_to_float(uint32_t bits) {
  union {
    uint32_t u;
    float f;
  } both = {bits};
  return both.f;
}
__host__ __device__ __forceinline__ uint32_t float_to_bits(float value) {
  union {
    float f;
    uint32_t u;
  } both = {value};
  return both.u;
}

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(BFloat16 x) { return bits_to_float(uint32_t{x.bits} << 16); }
__device__ __forceinline__ float to_float(Float16 x) {
#ifdef GROUPCONV_EMULATED
  return emulator::half_to_float(x.bits);
#else
  return __half2float(__ushort_as_half(x.bits));
#endif
}

// Rounds to nearest, ties to even; NaN stays NaN.
template <class T>
__device__ __forceinline__ T from_float(float x);
template <>
__device__ __forceinline__ float from_float<float>(float x) {
  return x;
}
template <>
__device__ __forceinline__ BFloat16 from_float<BFloat16>(float x) {
#ifdef GROUPCONV_EMULATED
  return {emulator::float_to_bfloat16(x)};
#else
  return {__bfloat16_as_ushort(__float2bfloat16_rn(x))};
#endif
}
template <>
__device__ __forceinline__ Float16 from_float<Float16>(float x) {
#ifdef GROUPCONV_EMULATED
  return {emulator::float_to_half(x)};
#else
  return {__half_as_ushort(__float2half_rn(x))};
#endif
}

// N elements as one access of up to 16 bytes; the address must be a multiple of its size.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T element[N];
};
template <class T>
constexpr int kPackWidth = 16 / sizeof(T);
template <int N, class T>
__device__ __forceinline__ Pack<T, N> load_pack(const T* from) {
#ifdef GROUPCONV_EMULATED
  emulator::check_aligned(from, sizeof(Pack<T, N>));
#endif
  return *reinterpret_cast<const Pack<T, N>*>(from);
}
template <int N, class T>
__device__ __forceinline__ void store_pack(T* to, const Pack<T, N>& pack) {
#ifdef GROUPCONV_EMULATED
  emulator::check_aligned(to, sizeof(Pack<T, N>));
#endif
  *reinterpret_cast<Pack<T, N>*>(to) = pack;
}

// body(T{}) with the element type of a dtype: with_element(dtype, [&](auto element) { using T =
// decltype(element); … }).
template <class Body>
void with_element(DType dtype, const Body& body) {
  switch (dtype) {
    case DType::Float32:
      return body(float{});
    case DType::BFloat16:
      return body(BFloat16{});
    case DType::Float16:
      return body(Float16{});
    case DType::Int32:
      break;
  }
  fail(ErrorCode::Unsupported, "cuda: no arithmetic in ", name_of(dtype));
}

// body(T{}, width) for channels that lie side by side: packs of 16 bytes where they divide into them, else
// one by one.
template <class Body>
void with_packs(DType dtype, int64_t channels, const Body& body) {
  with_element(dtype, [&](auto element) {
    constexpr int kWidth = kPackWidth<decltype(element)>;
    if (channels % kWidth == 0)
      body(element, std::integral_constant<int, kWidth>{});
    else
      body(element, std::integral_constant<int, 1>{});
  });
}

// Buffers hold float pointers whatever the dtype of their elements is.
template <class T>
__host__ __device__ __forceinline__ const T* as(const float* elements) {
  return reinterpret_cast<const T*>(elements);
}
template <class T>
__host__ __device__ __forceinline__ T* as(float* elements) {
  return reinterpret_cast<T*>(elements);
}

}  // namespace groupconv::cuda
