// Plain loops without branches, which the compiler vectorises for each instruction set.
#include "ops/convert/convert.h"
#include "cpu/context.h"
#include "cpu/simd.h"

namespace groupconv {
namespace {

constexpr int64_t kChunk = 16384;  // elements of one piece of work

GROUPCONV_INLINE uint32_t bits_of(float v) {
  uint32_t bits;
  __builtin_memcpy(&bits, &v, sizeof bits);
  return bits;
}
GROUPCONV_INLINE float float_of(uint32_t bits) {
  float v;
  __builtin_memcpy(&v, &bits, sizeof v);
  return v;
}

// How each element type is stored: from its memory to float32 and back.
struct Float32 {
  using Type = float;
  static GROUPCONV_INLINE float read(float v) { return v; }
  static GROUPCONV_INLINE float write(float v) { return v; }
};

struct Int32 {
  using Type = int32_t;
  static GROUPCONV_INLINE float read(int32_t v) { return static_cast<float>(v); }
  static GROUPCONV_INLINE int32_t write(float v) {
    const float inside = v < 2147483648.0f && v >= -2147483648.0f ? v : 0;  // 0 for NaN, too
    const int32_t beyond = v >= 2147483648.0f ? INT32_MAX : v < -2147483648.0f ? INT32_MIN : 0;
    return static_cast<int32_t>(inside) + beyond;
  }
};

struct BFloat16 {
  using Type = uint16_t;
  static GROUPCONV_INLINE float read(uint16_t v) { return float_of(uint32_t{v} << 16); }
  static GROUPCONV_INLINE uint16_t write(float v) {
    const uint32_t bits = bits_of(v), rounded = bits + 0x7fff + ((bits >> 16) & 1);
    const uint32_t quiet = bits | 0x400000;
    return static_cast<uint16_t>(((bits & 0x7fffffff) > 0x7f800000 ? quiet : rounded) >> 16);
  }
};

struct Float16 {
  using Type = uint16_t;
  static GROUPCONV_INLINE float read(uint16_t v) {
    const uint32_t magnitude = uint32_t{v & 0x7fffu} << 13, exponent = magnitude & 0xf800000;
    const uint32_t moved = magnitude + (112u << 23);  // from bias 15 to bias 127
    const uint32_t special = moved + (112u << 23);    // infinity, NaN: the highest exponent of float32
    // A denormal counts in units of 2^-24: let the arithmetic normalise it.
    const uint32_t denormal = bits_of(float_of(moved + (1u << 23)) - float_of(113u << 23));
    const uint32_t bits = exponent == 0xf800000 ? special : exponent == 0 ? denormal : moved;
    return float_of(bits | uint32_t{v & 0x8000u} << 16);
  }
  static GROUPCONV_INLINE uint16_t write(float v) {
    const uint32_t sign = bits_of(v) & 0x80000000, magnitude = bits_of(v) ^ sign;
    const uint32_t special = magnitude > 0x7f800000 ? 0x7e00 : 0x7c00;
    // Adding 0.5 leaves units of 2^-24, rounded, in the low bits.
    const uint32_t denormal = bits_of(float_of(magnitude) + 0.5f) - bits_of(0.5f);
    const uint32_t normal = (magnitude - (112u << 23) + 0xfff + ((magnitude >> 13) & 1)) >> 13;
    const uint32_t half = magnitude >= (143u << 23) ? special : magnitude < (113u << 23) ? denormal : normal;
    return static_cast<uint16_t>(half | sign >> 16);
  }
};

template <class From, class To>
void convert(const void* from, void* to, int64_t first, int64_t end) {
  const auto* source = static_cast<const typename From::Type*>(from);
  auto* target = static_cast<typename To::Type*>(to);
  for (int64_t i = first; i < end; ++i) target[i] = To::write(From::read(source[i]));
}

template <int Bytes>
void copy(const void* from, void* to, int64_t first, int64_t end) {
  __builtin_memcpy(static_cast<char*>(to) + first * Bytes, static_cast<const char*>(from) + first * Bytes,
                   static_cast<size_t>(end - first) * Bytes);
}

using Loop = void (*)(const void* from, void* to, int64_t first, int64_t end);
constexpr Loop loops[4][4] = {
    // from float32, bfloat16, float16, int32, as DType counts
    {copy<4>, convert<Float32, BFloat16>, convert<Float32, Float16>, convert<Float32, Int32>},
    {convert<BFloat16, Float32>, copy<2>, convert<BFloat16, Float16>, convert<BFloat16, Int32>},
    {convert<Float16, Float32>, convert<Float16, BFloat16>, copy<2>, convert<Float16, Int32>},
    {convert<Int32, Float32>, convert<Int32, BFloat16>, convert<Int32, Float16>, copy<4>},
};

void run(const ConvertProblem& p, const ConvertBuffers& b, const ExecutionContext& context) {
  const Loop loop = loops[static_cast<int>(p.from)][static_cast<int>(p.to)];
  parallel_for(context, ceil_div(p.size, kChunk), [&](int64_t chunk) {
    loop(b.from, b.to, chunk * kChunk, min_of(p.size, (chunk + 1) * kChunk));
  });
}

constexpr ConvertSolver solvers[] = {{"vectorised", [](const ConvertProblem&) { return true; }, run}};

}  // namespace

namespace GROUPCONV_ISA {
extern const ConvertTable convert_solvers = {solvers, 1};
}

}  // namespace groupconv
