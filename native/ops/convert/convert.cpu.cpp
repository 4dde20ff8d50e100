// The CPU's solver lists for convert and fill, and the plain reference: numbers rounded in float64, not bit
// patterns.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "cpu/context.h"
#include "cpu/offer.h"
#include "ops/convert/convert.h"

namespace groupconv {

GROUPCONV_PER_ISA(ConvertTable, convert_solvers)

namespace {

// A 16-bit format: one sign bit, exponent bits, fraction bits.
struct Format {
  int exponent_bits, fraction_bits;
  int bias() const { return (1 << (exponent_bits - 1)) - 1; }
};
constexpr Format kBFloat16{8, 7}, kFloat16{5, 10};

double decode(Format format, uint16_t bits) {
  const int exponent = (bits & 0x7fff) >> format.fraction_bits,
            fraction = bits & ((1 << format.fraction_bits) - 1);
  const double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == (1 << format.exponent_bits) - 1) return fraction ? NAN : sign * INFINITY;
  const int implicit = exponent ? 1 << format.fraction_bits : 0;
  return sign * std::ldexp(implicit + fraction, std::max(exponent, 1) - format.bias() - format.fraction_bits);
}

uint16_t encode(Format format, double value) {
  const int sign = std::signbit(value) ? 0x8000 : 0, top = ((1 << format.exponent_bits) - 1)
                                                           << format.fraction_bits;
  if (std::isnan(value)) return static_cast<uint16_t>(sign | top | 1 << (format.fraction_bits - 1));
  const double magnitude = std::fabs(value);
  if (std::isinf(value)) return static_cast<uint16_t>(sign | top);
  if (value == 0) return static_cast<uint16_t>(sign);
  int exponent = 0;
  std::frexp(magnitude, &exponent);
  // The unit in the last place, no smaller than that of denormals.
  const int unit = std::max(exponent - 1, 1 - format.bias()) - format.fraction_bits;
  const double units =
      std::nearbyint(std::ldexp(magnitude, -unit));  // the implicit bit counts in the exponent
  const double bits =
      units + double(unit + format.fraction_bits + format.bias() - 1) * (1 << format.fraction_bits);
  return static_cast<uint16_t>(sign | static_cast<int>(std::min<double>(bits, top)));
}

double read(DType dtype, const void* memory, int64_t i) {
  switch (dtype) {
    case DType::Float32:
      return static_cast<const float*>(memory)[i];
    case DType::Int32:
      return static_cast<float>(static_cast<const int32_t*>(memory)[i]);
    case DType::BFloat16:
      return decode(kBFloat16, static_cast<const uint16_t*>(memory)[i]);
    case DType::Float16:
      return decode(kFloat16, static_cast<const uint16_t*>(memory)[i]);
  }
  return 0;
}

void write(DType dtype, void* memory, int64_t i, double value) {
  switch (dtype) {
    case DType::Float32:
      static_cast<float*>(memory)[i] = static_cast<float>(value);
      return;
    case DType::BFloat16:
      static_cast<uint16_t*>(memory)[i] = encode(kBFloat16, value);
      return;
    case DType::Float16:
      static_cast<uint16_t*>(memory)[i] = encode(kFloat16, value);
      return;
    case DType::Int32:
      static_cast<int32_t*>(memory)[i] =
          std::isnan(value) ? 0 : static_cast<int32_t>(std::fmin(std::fmax(value, INT32_MIN), INT32_MAX));
  }
}

void reference(const ConvertProblem& p, const ConvertBuffers& b, const ExecutionContext&) {
  if (p.from == p.to)
    std::memcpy(b.to, b.from, static_cast<size_t>(p.size) * size_of(p.to));
  else
    for (int64_t i = 0; i < p.size; ++i) write(p.to, b.to, i, read(p.from, b.from, i));
}

constexpr int64_t kChunk = 65536;

void fill(const FillProblem& p, const FillBuffers& b, const ExecutionContext& context) {
  // Through float32, like every conversion; int32 exactly.
  uint32_t element = 0;
  write(p.dtype, &element, 0,
        p.dtype == DType::Int32 ? p.value : static_cast<double>(static_cast<float>(p.value)));
  parallel_for(context, (p.size + kChunk - 1) / kChunk, [&](int64_t chunk) {
    const int64_t first = chunk * kChunk, end = std::min(p.size, first + kChunk);
    if (size_of(p.dtype) == 4)
      std::fill(static_cast<uint32_t*>(b.target) + first, static_cast<uint32_t*>(b.target) + end, element);
    else
      std::fill(static_cast<uint16_t*>(b.target) + first, static_cast<uint16_t*>(b.target) + end,
                static_cast<uint16_t>(element));
  });
}

constexpr ConvertSolver references[] = {{"reference", [](const ConvertProblem&) { return true; }, reference}};
constexpr FillSolver fills[] = {{"reference", [](const FillProblem&) { return true; }, fill}};

const bool offered =
    offer<convert_registry, references, convert_solvers_for>() && offer<fill_registry, fills>();

}  // namespace
}  // namespace groupconv
