// Philox against its published vectors; moments; independence of layout, threads and the way a sequence is
// cut.
#include "ops/random/random.h"

#include <sstream>

#include "core/check.h"
#include "cpu/context.h"
#include "cpu/guarded.h"
#include "cpu/isa.h"
#include "cpu/stream.h"

namespace groupconv {
namespace {

using test::check_throws;
using test::Guarded;
using Values = std::vector<float>;

// Random123's kat_vectors, philox 4x32 10.
void check_known_answers() {
  CHECK(philox({0, 0, 0, 0}, {0, 0}) == PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  const uint32_t all = 0xffffffff;
  CHECK(philox({all, all, all, all}, {all, all}) ==
        PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

Values download(const Tensor& tensor) {
  const float* values = tensor.in_layout(1);
  tensor.stream().synchronize();
  return Values(values, values + tensor.size());
}

TensorPtr position(const std::shared_ptr<Stream>& stream, uint32_t seed, uint64_t offset) {
  const TensorPtr tensor = make_tensor(stream, {4}, DType::Int32);
  const RandomPosition at{{seed, 0}, {static_cast<uint32_t>(offset), static_cast<uint32_t>(offset >> 32)}};
  stream->upload(&at, *tensor);
  return tensor;
}

void check_threads_and_guards() {
  for (RandomKind kind : {RandomKind::Uniform, RandomKind::Normal, RandomKind::Dropout})
    for (int block : {1, 8}) {
      if (block > 1 && kind != RandomKind::Dropout) continue;
      const RandomProblem p{kind, DType::Float32, 0.25, 0.5, 2, 13, 5000, block};
      RandomProblem flat = p;
      if (kind != RandomKind::Dropout) flat.n = flat.c = 1, flat.pixels = 130000;
      const RandomPosition at{{7, 0}, {3, 0}};
      Values first;
      for (int threads : {1, 2, 3}) {
        Guarded x(Values(static_cast<size_t>(2 * 5000 * (block == 1 ? 13 : 16)), 1.0f)), y(x.size());
        random_registry().list(DeviceKind::Cpu)[0]->run(flat, {x.data(), &at, y.data()}, CpuContext(threads));
        std::ostringstream note;
        note << flat << " x" << threads;
        CHECK_NOTE(x.intact() && y.intact(), "guards " + note.str());
        if (threads == 1) first = y.values();
        CHECK_NOTE(test::same_bits(first, y.values()), "bitwise " + note.str());
      }
    }
}

void check_numbers() {
  const auto stream = std::make_shared<CpuStream>();
  const TensorPtr whole = make_tensor(stream, {1000, 100}, DType::Float32),
                  part = make_tensor(stream, {3000}, DType::Float32);
  random_normal(*whole, *position(stream, 42, 1000), 2, 3);
  random_normal(*part, *position(stream, 42, 1000 + 1777), 2, 3);
  const Values normal = download(*whole), cut = download(*part);
  CHECK(Values(normal.begin() + 1777, normal.begin() + 4777) == cut);
  const auto moment = [](const Values& values, double mean, int power) {
    double sum = 0;
    for (float value : values) sum += std::pow(value - mean, power);
    return sum / static_cast<double>(values.size());
  };
  CHECK(std::fabs(moment(normal, 0, 1) - 2) < 0.03 && std::fabs(moment(normal, 2, 2) - 9) < 0.15);
  CHECK(std::fabs(moment(normal, 2, 3)) < 1 && std::fabs(moment(normal, 2, 4) - 3 * 81) < 8);
  double neighbours = 0;
  for (size_t i = 1; i < normal.size(); ++i) neighbours += (normal[i] - 2) * (normal[i - 1] - 2);
  CHECK(std::fabs(neighbours / static_cast<double>(normal.size())) < 0.1);

  random_uniform(*whole, *position(stream, 1, 0), -2, 5);
  const Values uniform = download(*whole);
  for (float value : uniform) CHECK(value >= -2 && value < 5);
  CHECK(std::fabs(moment(uniform, 0, 1) - 1.5) < 0.02 &&
        std::fabs(moment(uniform, 1.5, 2) - 49.0 / 12) < 0.05);
  random_uniform(*whole, *position(stream, 1, uint64_t{1} << 40), -2, 5);
  CHECK(download(*whole) != uniform);
  random_uniform(*part, *position(stream, 2, 0), 1,
                 std::nextafter(1.0f, 2.0f));  // no room: the lower bound only
  for (float value : download(*part)) CHECK(value == 1);
  // Pinned: these must never change, on any machine.
  random_uniform(*part, *position(stream, 42, 0), 0, 1);
  const Values first_uniform = download(*part);
  CHECK(first_uniform[0] == 0.612959862f && first_uniform[1] == 0.468586504f &&
        first_uniform[2] == 0.0732316971f);
  random_normal(*part, *position(stream, 42, 0), 0, 1);
  const Values first_normal = download(*part);
  CHECK(first_normal[0] == -0.97018981f && first_normal[1] == 0.19401896f && first_normal[2] == -1.23562074f);
}

void check_dropout() {
  const auto stream = std::make_shared<CpuStream>();
  for (Isa isa : available_isas()) {
    force_isa(isa);
    const Shape shape{2, 19, 30, 31};
    const TensorPtr x = make_tensor(stream, shape, DType::Float32);
    for (int64_t i = 0; i < x->size(); ++i) x->target_in_layout(1)[i] = 1;
    const Values plain = download(*dropout(*x, 0.25f, *position(stream, 5, 11)));
    x->in_layout(simd_width(isa));
    const TensorPtr y = dropout(*x, 0.25f, *position(stream, 5, 11));
    CHECK(y->block() == simd_width(isa));
    CHECK(download(*y) == plain);
    double zeros = 0;
    for (float value : plain) zeros += value == 0, CHECK(value == 0 || value == static_cast<float>(4 / 3.0));
    CHECK(std::fabs(zeros / static_cast<double>(plain.size()) - 0.25) < 0.01);
    for (float value : download(*dropout(*x, 1, *position(stream, 5, 11)))) CHECK(value == 0);
    CHECK(download(*dropout(*x, 0, *position(stream, 5, 11))) == download(*x));
  }
  check_throws(ErrorCode::InvalidArgument, "dropout",
               [&] { dropout(*make_tensor(stream, {1}, DType::Float32), 1.5f, *position(stream, 0, 0)); });
}

}  // namespace
}  // namespace groupconv

int main() {
  using namespace groupconv;
  check_known_answers();
  check_threads_and_guards();
  check_numbers();
  check_dropout();
  return test::report();
}
