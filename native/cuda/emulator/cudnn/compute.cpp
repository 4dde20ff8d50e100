#include "cuda/emulator/cudnn/compute.h"

#include <cmath>

namespace standin {
namespace {

float from_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
uint32_t to_bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

// To nearest, ties to even, keeping all but the last `bits` bits of the pattern.
float rounded(float value, int bits) {
  const uint32_t pattern = to_bits(value), unit = 1u << bits;
  return from_bits((pattern + unit / 2 - 1 + (pattern >> bits & 1)) & ~(unit - 1));
}

float half_value(uint16_t half) {
  const int exponent = half >> 10 & 31, fraction = half & 1023;
  const float magnitude = exponent == 31  ? (fraction ? NAN : INFINITY)
                          : exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                          : std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
  return half & 0x8000 ? -magnitude : magnitude;
}
uint16_t half_pattern(float value) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const float magnitude = std::fabs(value);
  if (std::isnan(value)) return 0x7e00;
  if (magnitude >= 65520.0f) return sign | 0x7c00;
  if (magnitude < 6.103515625e-05f)
    return static_cast<uint16_t>(sign | static_cast<int>(std::nearbyint(std::ldexp(magnitude, 24))));
  return static_cast<uint16_t>(sign | ((to_bits(rounded(magnitude, 13)) - 0x38000000u) >> 13));
}

float read(const Tensor& t, const void* at, int64_t i) {
  switch (t.type) {
    case DataType::Float:
      return static_cast<const float*>(at)[i];
    case DataType::BFloat16:
      return from_bits(uint32_t{static_cast<const uint16_t*>(at)[i]} << 16);
    case DataType::Half:
      break;
  }
  return half_value(static_cast<const uint16_t*>(at)[i]);
}
void write(const Tensor& t, void* at, int64_t i, float value) {
  switch (t.type) {
    case DataType::Float:
      static_cast<float*>(at)[i] = value;
      return;
    case DataType::BFloat16:
      static_cast<uint16_t*>(at)[i] =
          static_cast<uint16_t>(std::isnan(value) ? 0x7fc0 : to_bits(rounded(value, 16)) >> 16);
      return;
    case DataType::Half:
      static_cast<uint16_t*>(at)[i] = half_pattern(value);
  }
}

// All elements of a tensor, in the order N C H W whatever its strides are.
using Values = std::vector<float>;

class Memory {
 public:
  explicit Memory(const std::map<int64_t, void*>& addresses) : addresses_(addresses) {}
  const Values& get(const Tensor& t) {
    if (t.is_virtual) {
      demand(virtual_.count(t.id) != 0);
      return virtual_[t.id];
    }
    Values& values = loaded_[t.id];
    values.resize(static_cast<size_t>(t.size()));
    for_each(t, [&](size_t i, int64_t offset) { values[i] = read(t, address(t), offset); });
    return values;
  }
  void put(const Tensor& t, Values values) {
    if (t.is_virtual)
      virtual_[t.id] = std::move(values);
    else
      for_each(t, [&](size_t i, int64_t offset) { write(t, address(t), offset, values[i]); });
  }

 private:
  void* address(const Tensor& t) const {
    demand(addresses_.count(t.id) != 0);
    void* at = addresses_.at(t.id);
    demand(at && reinterpret_cast<uintptr_t>(at) % static_cast<uintptr_t>(t.alignment) == 0);
    return at;
  }
  template <class Body>
  static void for_each(const Tensor& t, const Body& body) {
    size_t i = 0;
    const auto &e = t.extents, &s = t.strides;
    for (int64_t a = 0; a < e[0]; ++a)
      for (int64_t b = 0; b < e[1]; ++b)
        for (int64_t c = 0; c < e[2]; ++c)
          for (int64_t d = 0; d < e[3]; ++d) body(i++, a * s[0] + b * s[1] + c * s[2] + d * s[3]);
  }

  const std::map<int64_t, void*>& addresses_;
  std::map<int64_t, Values> virtual_, loaded_;
};

// body(index in x, in w, in y) for every product of the convolution.
template <class Body>
void for_each_product(const ConvolutionOf& c, const Body& body) {
  const auto &x = c.x.extents, &w = c.w.extents, &y = c.y.extents;
  const int64_t outputs = w[0] / c.groups();
  for (int64_t n = 0; n < y[0]; ++n)
    for (int64_t k = 0; k < y[1]; ++k)
      for (int64_t p = 0; p < y[2]; ++p)
        for (int64_t q = 0; q < y[3]; ++q)
          for (int64_t i = 0; i < w[1]; ++i)
            for (int64_t r = 0; r < w[2]; ++r)
              for (int64_t s = 0; s < w[3]; ++s) {
                const int64_t h = p * c.stride[0] + r * c.dilation[0] - c.before[0];
                const int64_t v = q * c.stride[1] + s * c.dilation[1] - c.before[1];
                if (h < 0 || h >= x[2] || v < 0 || v >= x[3]) continue;
                const int64_t channel = k / outputs * w[1] + i;
                body(static_cast<size_t>(((n * x[1] + channel) * x[2] + h) * x[3] + v),
                     static_cast<size_t>(((k * w[1] + i) * w[2] + r) * w[3] + s),
                     static_cast<size_t>(((n * y[1] + k) * y[2] + p) * y[3] + q));
              }
}

void convolve(const Descriptor& operation, Memory& memory, const Exactness& exactness) {
  const ConvolutionOf c(operation);
  const bool forward = operation.kind == DescriptorKind::ConvolutionForward;
  const bool data = operation.kind == DescriptorKind::ConvolutionBackwardData;
  const Values& a = memory.get(forward || !data ? c.x : c.y);
  const Values& b = memory.get(forward || data ? c.w : c.y);
  const Tensor& result = c.result(operation.kind);
  Values sums(static_cast<size_t>(result.size()));
  const auto factor = [&](float value) { return exactness.tf32 ? rounded(value, 13) : value; };
  for_each_product(c, [&](size_t x, size_t w, size_t y) {
    float& sum = sums[forward ? y : data ? x : w];
    sum += factor(a[forward || !data ? x : y]) * factor(b[forward || data ? w : y]);
    if (exactness.narrow_sums) sum = rounded(sum, 16);
  });
  if (exactness.perturbed)
    for (float& sum : sums) sum *= 1 + 0x1p-22f;
  memory.put(result, std::move(sums));
}

void pointwise(const Descriptor& operation, Memory& memory) {
  const Descriptor& settings = operation.child(Attribute::PointwiseDescriptor, DescriptorKind::Pointwise);
  const Tensor x(operation.child(Attribute::PointwiseX, DescriptorKind::Tensor));
  const Tensor y(operation.child(Attribute::PointwiseY, DescriptorKind::Tensor));
  Values values = memory.get(x);
  if (operation.has(Attribute::PointwiseB)) {
    const Tensor b(operation.child(Attribute::PointwiseB, DescriptorKind::Tensor));
    const Values& added = memory.get(b);
    const auto &e = x.extents, &f = b.extents;
    for (size_t i = 0; i < values.size(); ++i) {
      int64_t rest = static_cast<int64_t>(i), at[4];
      for (int axis = 3; axis >= 0; --axis) at[axis] = rest % e[axis], rest /= e[axis];
      int64_t from = 0;
      for (int axis = 0; axis < 4; ++axis) from = from * f[axis] + (f[axis] == 1 ? 0 : at[axis]);
      values[i] += added[static_cast<size_t>(from)];
    }
  } else {
    const auto clip = [&](Attribute attribute, double otherwise) {
      return settings.has(attribute) ? settings.one<double>(attribute, Type::Double) : otherwise;
    };
    const auto low = static_cast<float>(clip(Attribute::PointwiseLowerClip, 0));
    const auto high = static_cast<float>(clip(Attribute::PointwiseUpperClip, 3e38));
    const bool keeps_nan =
        settings.has(Attribute::PointwiseNanPropagation) &&
        settings.one<int>(Attribute::PointwiseNanPropagation, Type::NanPropagation) == kPropagateNan;
    for (float& value : values)
      value = std::isnan(value) ? (keeps_nan ? value : low) : std::fmin(std::fmax(value, low), high);
  }
  memory.put(y, std::move(values));
}

}  // namespace

void compute(const Descriptor& graph, const std::map<int64_t, void*>& addresses, const Exactness& exactness) {
  Memory memory(addresses);
  for (const Descriptor* operation : operations_of(graph))
    if (is_convolution(operation->kind))
      convolve(*operation, memory, exactness);
    else
      pointwise(*operation, memory);
}

}  // namespace standin
