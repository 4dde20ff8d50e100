#include "core/measure.h"

namespace groupconv {
namespace {

// Values of ±[0.5, 1), never zeros: zeros would flatter the power budget and hide mistakes. Each is a sign,
// the exponent of 0.5 and a random fraction.
template <class Bits>
std::vector<char> random_values(Bits half, Bits fraction) {
  constexpr size_t kCount = (size_t{1} << 20) + 3;  // repeats, but no two lines of an image alike
  std::vector<char> bytes(kCount * sizeof(Bits));
  uint32_t state = 12345;
  for (size_t i = 0; i < kCount; ++i) {
    state = state * 1664525u + 1013904223u;
    const Bits sign = state & 1u << 31 ? Bits{1} << (8 * sizeof(Bits) - 1) : 0;
    const Bits value = sign | half | (static_cast<Bits>(state >> 8) & fraction);
    std::memcpy(&bytes[i * sizeof(Bits)], &value, sizeof(Bits));
  }
  return bytes;
}
std::vector<char> random_values(DType dtype) {
  if (dtype == DType::BFloat16) return random_values<uint16_t>(0x3f00, 0x7f);
  if (dtype == DType::Float16) return random_values<uint16_t>(0x3800, 0x3ff);
  return random_values<uint32_t>(0x3f000000, 0x7fffff);
}

size_t bytes_of(DType dtype, int64_t elements) {
  return (static_cast<size_t>(elements) * size_of(dtype) + 63) / 64 * 64;
}

}  // namespace

Operand::Operand(Stream& stream, DType dtype, bool used, int64_t elements)
    : space_(stream, used ? bytes_of(dtype, elements) : 0) {
  if (used) stream.tile(random_values(dtype), space_.data(), bytes_of(dtype, elements));
}

}  // namespace groupconv
