// Every solver on every instruction set and thread count against the reference, bit for bit; then the doors,
// in every layout, against plain indexing.
#include "ops/concat/concat.h"

#include <sstream>

#include "core/check.h"
#include "cpu/guarded.h"
#include "cpu/isa.h"
#include "cpu/stream.h"

namespace groupconv {
namespace {

using test::check_throws;
using test::Guarded;
using Values = std::vector<float>;

size_t physical(int64_t outer, int64_t extent, int64_t inner, int64_t block) {
  return static_cast<size_t>(outer * ((extent + block - 1) / block) * block * inner);
}

void check_problem(const ConcatProblem& p) {
  const Values from = test::hashed_values(1, physical(p.outer, p.from_extent, p.inner, p.from_block));
  const Values to = test::hashed_values(2, physical(p.outer, p.to_extent, p.inner, p.to_block));
  for (Isa isa : available_isas()) {
    force_isa(isa);
    Values expected;
    for (bool reference : {true, false})
      for (const ConcatSolver* solver : concat_registry().list(DeviceKind::Cpu)) {
        if (!solver->accepts(p) || reference != !std::strcmp(solver->name, "reference")) continue;
        for (int threads : {1, 2, 3}) {
          std::ostringstream note;
          note << solver->name << ' ' << isa_name(isa) << " x" << threads << ' ' << p;
          Guarded source(from), target(to);
          solver->run(p, {source.data(), target.data()}, CpuContext(threads));
          CHECK_NOTE(source.intact() && target.intact(), "guards " + note.str());
          if (expected.empty()) expected = target.values();
          CHECK_NOTE(test::same_bits(expected, target.values()), note.str());
        }
      }
  }
}

// Tensors on a stream, their logical values beside them.
struct Host {
  Shape shape;
  Values values;
};

Host hashed_host(const Shape& shape, uint32_t seed) {
  return {shape, test::hashed_values(seed, static_cast<size_t>(shape.size()))};
}
TensorPtr upload(const std::shared_ptr<CpuStream>& stream, const Host& host, int block) {
  const TensorPtr tensor = make_tensor(stream, host.shape, DType::Float32);
  stream->synchronize();  // queued work may still read this memory
  std::memcpy(tensor->target_in_layout(1), host.values.data(), host.values.size() * sizeof(float));
  tensor->in_layout(block);
  return tensor;
}
Values download(const Tensor& tensor) {
  const float* values = tensor.in_layout(1);
  tensor.stream().synchronize();
  return Values(values, values + tensor.size());
}
bool pads_are_zero(const Tensor& tensor) {
  tensor.stream().synchronize();
  Guarded memory(static_cast<size_t>(tensor.physical_size()));
  std::memcpy(memory.data(), tensor.in_layout(tensor.block()), memory.size() * sizeof(float));
  return tensor.shape().rank() != 4 || memory.pad_lanes_zero(tensor.shape(), tensor.block());
}

// x[…, begin + j, …] for j < size, plainly.
Host cut(const Host& x, int axis, int64_t begin, int64_t size) {
  Host y{{}, {}};
  int64_t outer = 1, inner = 1;
  for (int i = 0; i < x.shape.rank(); ++i) {
    y.shape.push_back(i == axis ? size : x.shape[i]);
    if (i != axis) (i < axis ? outer : inner) *= x.shape[i];
  }
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t j = 0; j < size * inner; ++j)
      y.values.push_back(x.values[(o * x.shape[axis] + begin) * inner + j]);
  return y;
}

void check_doors(const Shape& shape, int axis, const std::vector<int64_t>& sizes) {
  const auto stream = std::make_shared<CpuStream>();
  const Host whole = hashed_host(shape, 3);
  for (bool blocked : {false, true}) {
    if (blocked && shape.rank() != 4) continue;
    const int block = blocked ? simd_width(active_isa()) : 1;
    std::ostringstream text;
    text << shape << " axis " << axis << " block " << block << " first part " << sizes[0];
    const std::string note = text.str();
    const TensorPtr x = upload(stream, whole, block);
    std::vector<TensorPtr> parts;
    std::vector<const Tensor*> pointers;
    const TensorPtr sum = upload(stream, whole, block);
    int64_t begin = 0;
    for (int64_t size : sizes) {
      const Host expected = cut(whole, axis, begin, size);
      parts.push_back(slice(*x, axis - (blocked ? shape.rank() : 0), begin, size));
      CHECK_NOTE(parts.back()->shape() == expected.shape && pads_are_zero(*parts.back()), note);
      // dx = dy in its place, zero elsewhere; adding every part to x doubles it.
      const TensorPtr dx = make_tensor(stream, shape, DType::Float32);
      slice_grad(*parts.back(), axis, begin, *dx, GradMode::Overwrite);
      slice_grad(*parts.back(), axis, begin, *sum, GradMode::Accumulate);
      CHECK_NOTE(pads_are_zero(*dx) && pads_are_zero(*sum), note);
      CHECK_NOTE(cut({shape, download(*dx)}, axis, begin, size).values == expected.values, note);
      double all = 0, part = 0;
      for (float value : download(*dx)) all += std::fabs(value);
      for (float value : expected.values) part += std::fabs(value);
      CHECK_NOTE(std::fabs(all - part) < 1e-9 * part, note);
      CHECK_NOTE(download(*slice(*x, axis, begin, size)) == expected.values, note);
      pointers.push_back(parts.back().get());
      begin += size;
    }
    const TensorPtr joined = concat(pointers, axis);
    CHECK_NOTE(joined->shape() == shape && pads_are_zero(*joined) && download(*joined) == whole.values, note);
    Values doubled = whole.values;
    for (float& value : doubled) value *= 2;
    CHECK_NOTE(download(*sum) == doubled, note);
  }
}

void check_errors() {
  const auto stream = std::make_shared<CpuStream>();
  const auto make = [&](const Shape& shape, DType dtype = DType::Float32) {
    return make_tensor(stream, shape, dtype);
  };
  const TensorPtr a = make({2, 3}), b = make({3, 3});
  check_throws(ErrorCode::InvalidArgument, "concat: no tensors", [] { concat({}, 0); });
  check_throws(ErrorCode::InvalidShape, "concat: [2, 3] and [3, 3] differ outside of axis 1", [&] {
    concat({a.get(), b.get()}, 1);
  });
  check_throws(ErrorCode::InvalidArgument, "concat: axis 2 of x [2, 3], which has 2 dimensions",
               [&] { concat({a.get()}, 2); });
  check_throws(ErrorCode::InvalidArgument, "concat: float32 and int32 don't go together", [&] {
    concat({a.get(), make({2, 3}, DType::Int32).get()}, 1);
  });
  check_throws(ErrorCode::Unsupported, "concat: x is bfloat16, float32 is needed on this device", [&] {
    concat({make({2, 3}, DType::BFloat16).get()}, 1);
  });
  check_throws(ErrorCode::InvalidShape, "slice: 2 from 2 on, axis 1 of x [2, 3] has 3",
               [&] { slice(*a, 1, 2, 2); });
  check_throws(ErrorCode::InvalidShape, "slice: gradient [3, 3] from 1 on for x [2, 3]",
               [&] { slice_grad(*b, 1, 1, *a, GradMode::Overwrite); });
}

}  // namespace
}  // namespace groupconv

int main() {
  using namespace groupconv;
  for (int64_t inner : {1, 6, 9000})
    for (const auto& [from_block, to_block] : {std::pair{1, 1}, {1, 8}, {8, 1}, {16, 16}, {4, 4}})
      for (const auto& [from_begin, to_begin, count] :
           {std::array<int64_t, 3>{0, 0, 5}, {3, 0, 17}, {0, 16, 13}, {16, 5, 4}, {2, 21, 20}})
        for (int mode = 0; mode < 3; ++mode)
          check_problem({inner > 100 ? 1 : 2, inner, count, from_begin + count + 3 * (inner % 2), from_begin,
                         to_begin + count + (mode ? 2 : 0), to_begin, from_block, to_block, DType::Float32,
                         mode == 1, mode == 2});
  for (Isa isa : available_isas()) {
    force_isa(isa);
    check_doors({2, 48, 3, 5}, 1, {16, 32});
    check_doors({2, 37, 3, 5}, 1, {16, 4, 1, 16});
    check_doors({1, 40, 4, 4}, 1, {32, 8});
    check_doors({2, 10, 3, 2}, 1, {5, 5});
    check_doors({5, 19, 2, 3}, 0, {2, 3});
    check_doors({2, 19, 7, 3}, 2, {4, 3});
    check_doors({2, 19, 2, 9}, 3, {1, 8});
    check_doors({3, 7}, 1, {2, 4, 1});
    check_doors({4, 2, 5}, 0, {1, 3});
    check_doors({9}, 0, {4, 5});
  }
  check_errors();
  return test::report();
}
