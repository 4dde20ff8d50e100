// Every 16-bit pattern and many float32 and int32 ones, every pair of dtypes, instruction set and thread
// count, bit for bit against rounding in float64; then the doors.
#include "ops/convert/convert.h"

#include <cstring>

#include "core/check.h"
#include "cpu/everywhere.h"
#include "cpu/stream.h"

namespace groupconv {
namespace {

constexpr DType kEvery[] = {DType::Float32, DType::BFloat16, DType::Float16, DType::Int32};

// Elements of the dtype as bytes.
std::vector<char> patterns(DType dtype) {
  std::vector<char> bytes;
  const auto add = [&](uint32_t bits) {
    bytes.insert(bytes.end(), reinterpret_cast<char*>(&bits),
                 reinterpret_cast<char*>(&bits) + size_of(dtype));
  };
  if (size_of(dtype) == 2) {
    for (uint32_t bits = 0; bits < 65536; ++bits) add(bits);
    return bytes;
  }
  uint32_t bits = 1;
  for (int i = 0; i < 100000; ++i) add(bits = bits * 1664525 + 1013904223);  // all over the range
  for (uint32_t high = 0; high < 65536; ++high)  // beside and on every tie of 16-bit formats
    for (uint32_t low : {0x0000u, 0x0fffu, 0x1000u, 0x1001u, 0x7fffu, 0x8000u, 0x8001u})
      add(high << 16 | low);
  for (int32_t whole = -70000; whole < 70000; whole += 7) {
    const float value = static_cast<float>(whole) + 0.5f;
    std::memcpy(&bits, &value, 4);
    add(dtype == DType::Int32 ? static_cast<uint32_t>(whole) : bits);
  }
  for (float value :
       {65504.0f, 65519.99f, 65520.0f, 2147483520.0f, 2147483648.0f, -2147483648.0f, -2147483904.0f, 1e38f}) {
    std::memcpy(&bits, &value, 4);
    add(bits);
  }
  return bytes;
}

bool is_nan(DType dtype, const char* element) {
  uint32_t bits = 0;
  std::memcpy(&bits, element, size_of(dtype));
  switch (dtype) {
    case DType::Float32:
      return (bits & 0x7fffffff) > 0x7f800000;
    case DType::BFloat16:
      return (bits & 0x7fff) > 0x7f80;
    case DType::Float16:
      return (bits & 0x7fff) > 0x7c00;
    case DType::Int32:
      return false;
  }
  return false;
}

// The target's bytes, guards checked.
std::vector<char> run(const ConvertSolver& solver, const ConvertProblem& p, const std::vector<char>& source,
                      int threads, const std::string& note) {
  const size_t bytes = static_cast<size_t>(p.size) * size_of(p.to);
  std::vector<char> target(bytes + 64, 0x5a);
  solver.run(p, {source.data(), target.data()}, CpuContext(threads));
  for (size_t i = bytes; i < target.size(); ++i) CHECK_NOTE(target[i] == 0x5a, "guard " + note);
  target.resize(bytes);
  return target;
}

void check_pair(DType from, DType to) {
  const std::vector<char> source = patterns(from);
  const ConvertProblem p{from, to, static_cast<int64_t>(source.size() / size_of(from))};
  const std::vector<char> expected =
      run(*convert_registry().list(DeviceKind::Cpu).back(), p, source, 1, "reference");
  for (Isa isa : available_isas()) {
    force_isa(isa);
    for (const ConvertSolver* solver : convert_registry().list(DeviceKind::Cpu))
      for (int threads : {1, 2, 3}) {
        const std::string note = test::describe(*solver, p, isa, threads);
        const std::vector<char> actual = run(*solver, p, source, threads, note);
        int64_t wrong = 0;
        for (size_t i = 0; i < actual.size(); i += size_of(to)) {
          const char *a = actual.data() + i, *e = expected.data() + i;
          wrong += std::memcmp(a, e, size_of(to)) && !(is_nan(to, a) && is_nan(to, e));  // a NaN is a NaN
        }
        CHECK_NOTE(wrong == 0, note + ": " + std::to_string(wrong) + " differ");
      }
  }
}

void check_doors() {
  const auto stream = std::make_shared<CpuStream>();
  const TensorPtr x = make_tensor(stream, {2, 5, 1, 3}, DType::Float32);
  fill(*x, 1.1);
  stream->synchronize();
  const int block = stream->activation_block(5);
  x->in_layout(block);
  const TensorPtr whole = cast(*x, DType::Int32), half = cast(*x, DType::Float16), same = clone(*x);
  const TensorPtr target = make_tensor(stream, x->shape(), DType::Float32);
  const uint64_t id = target->id(), version = target->version();
  copy(*target, *x);
  stream->synchronize();
  CHECK(whole->block() == block && target->id() == id && target->version() > version &&
        same->id() != x->id());
  for (int64_t i = 0; i < x->physical_size(); ++i) CHECK(x->in_layout(block)[i] == same->in_layout(block)[i]);
  whole->in_layout(1), half->in_layout(1), target->in_layout(1);
  stream->synchronize();
  for (int64_t i = 0; i < x->size(); ++i)
    CHECK(whole->in_layout<int32_t>(1)[i] == 1 && half->in_layout<uint16_t>(1)[i] == 0x3c66 &&
          target->in_layout(1)[i] == 1.1f);
  fill(*whole, -7);
  fill(*half, 1e6);
  stream->synchronize();
  CHECK(whole->in_layout<int32_t>(1)[29] == -7 && half->in_layout<uint16_t>(1)[29] == 0x7c00);
  using test::check_throws;
  check_throws(ErrorCode::InvalidShape, "copy: [2] into [2, 5, 1, 3]",
               [&] { copy(*x, *make_tensor(stream, {2}, DType::Float32)); });
  check_throws(ErrorCode::InvalidArgument, "copy: int32 into float32", [&] { copy(*x, *whole); });
  check_throws(ErrorCode::InvalidArgument, "fill: 0.5 is no int32", [&] { fill(*whole, 0.5); });
}

}  // namespace
}  // namespace groupconv

int main() {
  using namespace groupconv;
  for (DType from : kEvery)
    for (DType to : kEvery) check_pair(from, to);
  check_doors();
  return test::report();
}
