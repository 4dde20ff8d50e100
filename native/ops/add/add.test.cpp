// Every solver on every instruction set and thread count against the reference; then the doors, layouts
// mixed.
#include "ops/add/add.h"

#include <memory>

#include "core/check.h"
#include "cpu/guarded.h"
#include "cpu/isa.h"
#include "cpu/stream.h"

namespace groupconv {
namespace {

using test::Guarded;
using test::hashed_values;
using test::tensor_of;
using test::values_of;
using Values = std::vector<float>;

void check_solvers() {
  for (Isa isa : available_isas()) {
    force_isa(isa);
    for (int64_t size : {1, 15, 16, 17, 4096, 4097, 10001})
      for (Activation activation : {Activation::None, Activation::Relu, Activation::Relu6}) {
        const AddProblem p{DType::Float32, activation, size};
        Values a = hashed_values(1, size), b = hashed_values(2, size), first;
        for (float& v : a) v *= 8;
        a[size / 2] = NAN;
        for (const AddSolver* solver : add_registry().list(DeviceKind::Cpu))
          for (int threads : {1, 2, 3})
            for (bool in_place : {false, true}) {
              Guarded ga(a), gb(b), gy(in_place ? 0 : size);
              Guarded& target = in_place ? ga : gy;
              solver->run(p, {ga.data(), gb.data(), target.data()}, CpuContext(threads));
              CHECK(ga.intact() && gb.intact() && gy.intact());
              CHECK(std::isnan(target.data()[size / 2]));
              target.data()[size / 2] = 0;
              if (first.empty()) first = target.values();
              CHECK(test::same_bits(first, target.values()));
            }
        for (int64_t i = 0; i < size; ++i) {
          const float sum = a[i] + b[i], relu = sum < 0 ? 0 : sum;
          const float y = activation == Activation::None                ? sum
                          : activation == Activation::Relu6 && relu > 6 ? 6
                                                                        : relu;
          if (i != size / 2) CHECK(first[i] == y);
        }
      }
  }
}

void check_doors() {
  const auto stream = std::make_shared<CpuStream>();
  for (const Shape& shape : {Shape{2, 21, 3, 5}, Shape{2, 3, 4, 5}, Shape{7, 9}, Shape{5}, Shape{}}) {
    const Values a = hashed_values(1, shape.size()), b = hashed_values(2, shape.size());
    for (int layouts = 0; layouts < 4; ++layouts) {
      const TensorPtr ta = tensor_of(stream, shape, a), tb = tensor_of(stream, shape, b);
      if (layouts & 1) ta->in_layout(ta->activation_block());
      if (layouts & 2) tb->in_layout(tb->activation_block());
      const Values sum = values_of(*add(*ta, *tb, Activation::Relu));
      const uint64_t version = ta->version();
      accumulate(*ta, *tb);
      CHECK(ta->version() > version);
      const Values accumulated = values_of(*ta);
      for (size_t i = 0; i < a.size(); ++i) {
        CHECK(accumulated[i] == a[i] + b[i]);
        CHECK(sum[i] == (a[i] + b[i] < 0 ? 0 : a[i] + b[i]));
      }
      CHECK(test::same_bits(values_of(*tb), b));
    }
  }
  const TensorPtr x = tensor_of(stream, {2, 3}, Values(6, 1)), y = tensor_of(stream, {3, 2}, Values(6, 1));
  test::check_throws(ErrorCode::InvalidShape, "add: a [2, 3] and b [3, 2] must have equal shapes",
                     [&] { add(*x, *y, Activation::None); });
  const Tensor integers(stream, {2, 3}, DType::Int32);
  test::check_throws(ErrorCode::InvalidArgument, "", [&] { accumulate(*x, integers); });
}

}  // namespace
}  // namespace groupconv

int main() {
  groupconv::check_solvers();
  groupconv::check_doors();
  return groupconv::test::report();
}
