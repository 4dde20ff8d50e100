// Every solver on every instruction set and thread count against the reference; then the doors, layouts
// mixed.
#include "ops/add/add.h"

#include "cpu/broadcasts.h"

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
        const AddProblem p{DType::Float32, activation, {1, 1, 1, size}};
        Values a = hashed_values(1, size), b = hashed_values(2, size), first;
        for (float& v : a) v *= 8;
        a[size / 2] = NAN;
        for (const AddSolver* solver : add_registry().list(DeviceKind::Cpu))
          for (int threads : {1, 2, 3})
            for (bool in_place : {false, true}) {
              if (!solver->accepts(p)) continue;
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
  for (const Activation activation : {Activation::None, Activation::Relu6})
    test::check_broadcasts(add_registry(), "add",
                           {[=](const Tensor& a, const Tensor& b) { return add(a, b, activation); },
                            [=](float x, float value) {
                              const double sum = double{x} + value;
                              return activation == Activation::None ? sum : std::min(std::max(sum, 0.0), 6.0);
                            }});
  const TensorPtr x = tensor_of(stream, {2, 3}, Values(6, 1)), y = tensor_of(stream, {3, 2}, Values(6, 1));
  test::check_throws(ErrorCode::InvalidShape, "add: a [2, 3] and b [3, 2] must have equal shapes",
                     [&] { add(*x, *y, Activation::None); });
  for (const Shape& wrong :
       {Shape{2, 5, 1, 1}, Shape{3, 4, 1, 1}, Shape{2, 4, 1, 3}, Shape{4, 1, 1}, Shape{4}}) {
    const TensorPtr image = make_tensor(stream, {2, 4, 3, 3}, DType::Float32),
                    values = make_tensor(stream, wrong, DType::Float32);
    for (bool swapped : {false, true})
      test::check_throws(
          ErrorCode::InvalidShape, "must have equal shapes, or one be [N, C, 1, 1] or [1, C, 1, 1]",
          [&] { add(swapped ? *values : *image, swapped ? *image : *values, Activation::None); });
  }
  const TensorPtr image = make_tensor(stream, {2, 4, 3, 3}, DType::Float32),
                  values = make_tensor(stream, {2, 4, 1, 1}, DType::Float32);
  test::check_throws(ErrorCode::InvalidShape, "accumulate: addend [2, 4, 1, 1], expected [2, 4, 3, 3]",
                     [&] { accumulate(*image, *values); });
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
