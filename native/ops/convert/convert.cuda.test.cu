// CUDA's casts and fills against the CPU's, bit for bit: every 16-bit pattern, ties and edges of the wider
// types, and every pair of dtypes.
#include "ops/convert/convert.h"

#include <cstring>

#include "cuda/testing.h"

namespace groupconv {
namespace {

constexpr DType kEvery[] = {DType::Float32, DType::BFloat16, DType::Float16, DType::Int32};

std::vector<char> patterns(DType dtype) {
  std::vector<char> bytes;
  const auto add = [&](auto element) {
    const char* from = reinterpret_cast<const char*>(&element);
    bytes.insert(bytes.end(), from, from + size_of(dtype));
  };
  if (size_of(dtype) == 2)
    for (uint32_t bits = 0; bits < 65536; ++bits) add(bits);  // the lower half
  else
    for (uint32_t high = 0; high < 65536; ++high)  // beside and on every tie of 16-bit formats
      for (uint32_t low : {0x0000u, 0x0fffu, 0x1000u, 0x7fffu, 0x8000u, 0x8001u}) add(high << 16 | low);
  if (dtype == DType::Float32)
    for (float value : {65504.0f, 65519.99f, 65520.0f, 2147483520.0f, 2147483648.0f, -2147483904.0f, 1e38f})
      add(value);
  return bytes;
}

std::vector<char> bytes_of(const Tensor& tensor) {
  std::vector<char> bytes(tensor.logical_bytes());
  tensor.stream().download(tensor, bytes.data());
  tensor.stream().synchronize();
  return bytes;
}

TensorPtr tensor_of(const std::shared_ptr<Stream>& stream, DType dtype, const std::vector<char>& bytes) {
  const TensorPtr tensor = make_tensor(stream, {static_cast<int64_t>(bytes.size() / size_of(dtype))}, dtype);
  stream->upload(bytes.data(), *tensor);
  return tensor;
}

// What is NaN in one is NaN in the other, with whatever payload; the rest has the same bits.
bool agree(DType dtype, const std::vector<char>& a, const std::vector<char>& b) {
  const size_t bytes = size_of(dtype);
  const test::Values x = test::values_of(*cast(*tensor_of(test::cpu_stream(), dtype, a), DType::Float32));
  const test::Values y = test::values_of(*cast(*tensor_of(test::cpu_stream(), dtype, b), DType::Float32));
  for (size_t i = 0; i < x.size(); ++i)
    if (x[i] != x[i] ? y[i] == y[i] : std::memcmp(&a[i * bytes], &b[i * bytes], bytes) != 0) return false;
  return a.size() == b.size();
}

void check_cast(DType from, DType to) {
  const std::vector<char> bytes = patterns(from);
  const TensorPtr here = tensor_of(test::cpu_stream(), from, bytes);
  const TensorPtr there = tensor_of(test::cuda_stream(), from, bytes);
  CHECK_NOTE(agree(to, bytes_of(*cast(*here, to)), bytes_of(*cast(*there, to))),
             std::string(name_of(from)) + " to " + name_of(to));
  if (from == to) CHECK(agree(from, bytes, bytes_of(*clone(*there))));
}

void check_fill(DType dtype) {
  for (const int64_t size : {1, 255, 256, 100001})
    for (const double value : {0.0, -3.0, 12345.0}) {
      const TensorPtr target = make_tensor(test::cuda_stream(), {size}, dtype);
      fill(*target, value);
      const TensorPtr expected = make_tensor(test::cpu_stream(), {size}, dtype);
      fill(*expected, value);
      CHECK(bytes_of(*target) == bytes_of(*expected));
    }
}

}  // namespace
}  // namespace groupconv

static void tests() {
  using namespace groupconv;
  test::must_notice(convert_registry(), "direct", "stride launch block thread",
                    {{"the last element is left out", [](auto& p, auto&) { --p.size; }},
                     {"the other type of 16 bits", [](auto& p, auto&) {
                        if (p.to == DType::Float16) p.to = DType::BFloat16;
                      }}});
  test::must_notice(fill_registry(), "direct", "stride launch block thread",
                    {{"the last element is left out", [](auto& p, auto&) { --p.size; }},
                     {"no sign", [](auto& p, auto&) { p.value = std::fabs(p.value); }}});
  for (const DType from : kEvery)
    for (const DType to : kEvery) test::prove("convert, direct", [&] { check_cast(from, to); });
  for (const DType dtype : kEvery) test::prove("fill, direct", [&] { check_fill(dtype); });
}

int main() { return groupconv::test::on_a_device(tests); }
