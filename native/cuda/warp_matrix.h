// A warp's matrix instructions: ldmatrix and mma.sync, in the fragment layouts of the PTX ISA.
//
// A step multiplies A [16, k] by B [k, 8] into float32 sums [16, 8]; k is 32 bytes of elements: 16 of
// bfloat16 or float16, 8 of float32 (as TF32: 10 bits of mantissa). In terms of 32-bit words, two elements of
// 16 bits or one of 32, all types have one layout; `lane / 4` is i, `lane % 4` is j:
//
//   A   word 0: row i, word j       1: row i + 8, word j    2: row i, word j + 4    3: row i + 8, word j + 4
//   B   word 0: column i, word j    1: column i, word j + 4
//   sum 0, 1: row i, columns 2 j, 2 j + 1                   2, 3: row i + 8
#pragma once
#include "cuda/element.h"

namespace groupconv::cuda {

struct FragmentA {
  uint32_t word[4];
};
struct alignas(8) FragmentB {
  uint32_t word[2];
};
constexpr int kStepBytes = 32;
template <class T>
constexpr int kStepElements = kStepBytes / static_cast<int>(sizeof(T));

#ifdef GROUPCONV_EMULATED

namespace emulated {

struct Row {
  uint32_t word[4];
};

// A step's elements as a lane holds them, in float32. 16 bits: two per word; TF32: one.
struct Elements {
  float a[8], b[4];
};
template <class T>
void widen(const uint32_t* words, int count, float* to) {
  for (int i = 0; i < count; ++i)
    for (int half = 0; half < 2; ++half)
      to[2 * i + half] = to_float(T{static_cast<uint16_t>(words[i] >> 16 * half)});
}
template <>
inline void widen<float>(const uint32_t* words, int count, float* to) {
  for (int i = 0; i < count; ++i) to[i] = bits_to_float(words[i] & ~0x1fffu);
}

}  // namespace emulated

inline FragmentA load_matrices(const void* row) {
  emulator::check_shared(row, sizeof(emulated::Row));
  emulated::Row mine;
  __builtin_memcpy(&mine, row, sizeof mine);
  const unsigned char* met = emulator::meet(0xffffffffu, &mine, sizeof mine);
  const unsigned lane = emulator::lane();
  FragmentA fragment;
  for (unsigned m = 0; m < 4; ++m)
    fragment.word[m] = emulator::from_lane<emulated::Row>(met, 8 * m + lane / 4).word[lane % 4];
  return fragment;
}
inline FragmentA load_matrices_transposed(const void* row) {
  emulator::check_shared(row, sizeof(emulated::Row));
  emulated::Row mine;
  __builtin_memcpy(&mine, row, sizeof mine);
  const unsigned char* met = emulator::meet(0xffffffffu, &mine, sizeof mine);
  const unsigned lane = emulator::lane(), column = lane / 4;
  FragmentA fragment;
  for (unsigned m = 0; m < 4; ++m) {
    fragment.word[m] = 0;
    for (unsigned half = 0; half < 2; ++half) {
      const auto source = emulator::from_lane<emulated::Row>(met, 8 * m + 2 * (lane % 4) + half);
      fragment.word[m] |= (source.word[column / 2] >> 16 * (column % 2) & 0xffffu) << 16 * half;
    }
  }
  return fragment;
}
template <class T>
void multiply(float (&sum)[4], const FragmentA& a, const FragmentB& b) {
  constexpr int kPerWord = 4 / sizeof(T);
  emulated::Elements mine;
  emulated::widen<T>(a.word, 4, mine.a);
  emulated::widen<T>(b.word, 2, mine.b);
  const unsigned char* met = emulator::meet(0xffffffffu, &mine, sizeof mine);
  const unsigned lane = emulator::lane();
  for (unsigned j = 0; j < 4; ++j) {
    const auto left = emulator::from_lane<emulated::Elements>(met, lane / 4 * 4 + j);
    for (unsigned odd = 0; odd < 2; ++odd) {
      const auto right = emulator::from_lane<emulated::Elements>(met, 4 * (2 * (lane % 4) + odd) + j);
      for (unsigned low = 0; low < 2; ++low)
        for (unsigned late = 0; late < 2; ++late)
          for (unsigned part = 0; part < kPerWord; ++part)
            sum[2 * low + odd] +=
                left.a[(low + 2 * late) * kPerWord + part] * right.b[late * kPerWord + part];
    }
  }
}
inline uint32_t to_tf32(uint32_t bits) { return (bits + 0x1000u) & ~0x1fffu; }

#else

// Four matrices of 8 rows of 16 bytes: lane l names row l % 8 of matrix l / 8, in shared memory. Word m of
// lane l is word l % 4 of row l / 4 of matrix m.
__device__ __forceinline__ FragmentA load_matrices(const void* row) {
  FragmentA f;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(f.word[0]), "=r"(f.word[1]), "=r"(f.word[2]), "=r"(f.word[3])
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(row))));
  return f;
}
// The same of 8 x 8 elements of 16 bits, transposed: word m of lane l holds rows 2 (l % 4) and the next of
// column l / 4.
__device__ __forceinline__ FragmentA load_matrices_transposed(const void* row) {
  FragmentA f;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(f.word[0]), "=r"(f.word[1]), "=r"(f.word[2]), "=r"(f.word[3])
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(row))));
  return f;
}

// sum += a b
template <class T>
__device__ __forceinline__ void multiply(float (&sum)[4], const FragmentA& a, const FragmentB& b);
#define GROUPCONV_MULTIPLY(T, instruction)                                                                 \
  template <>                                                                                              \
  __device__ __forceinline__ void multiply<T>(float(&sum)[4], const FragmentA& a, const FragmentB& b) {    \
    asm("mma.sync.aligned." instruction " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};" \
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])                                           \
        : "r"(a.word[0]), "r"(a.word[1]), "r"(a.word[2]), "r"(a.word[3]), "r"(b.word[0]), "r"(b.word[1])); \
  }
GROUPCONV_MULTIPLY(BFloat16, "m16n8k16.row.col.f32.bf16.bf16.f32")
GROUPCONV_MULTIPLY(Float16, "m16n8k16.row.col.f32.f16.f16.f32")
GROUPCONV_MULTIPLY(float, "m16n8k8.row.col.f32.tf32.tf32.f32")
#undef GROUPCONV_MULTIPLY

// float32's bits rounded to TF32: to nearest, ties away from zero.
__device__ __forceinline__ uint32_t to_tf32(uint32_t bits) {
  uint32_t rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(bits_to_float(bits)));
  return rounded;
}

#endif

// An A fragment as `multiply` wants it, from row-major rows in shared memory: lane l names 16 bytes, of row
// l % 16, the first half of the step for l < 16, else the second.
template <class T>
__device__ __forceinline__ FragmentA load_rows(const void* row) {
  FragmentA fragment = load_matrices(row);
  if constexpr (sizeof(T) == 4)
    for (uint32_t& word : fragment.word) word = to_tf32(word);
  return fragment;
}

// Two elements of 16 bits, or one of 32, as a fragment's word.
template <class T>
__device__ __forceinline__ uint32_t packed_word(float first, float second) {
  return from_float<T>(first).bits | uint32_t{from_float<T>(second).bits} << 16;
}

}  // namespace groupconv::cuda
