// Every solver on every instruction set and thread count against the float64 reference; then the doors on a
// stream.
#include "ops/linear/linear.h"

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

Values run(const LinearSolver& solver, const LinearProblem& p, int threads, const std::string& note) {
  const auto values = [](uint32_t seed, int64_t size) {
    return test::hashed_values(seed, static_cast<size_t>(size));
  };
  Guarded x(values(1, p.rows * p.in)), weight(values(2, p.out * p.in)), bias(values(3, p.out)),
      dy(values(4, p.rows * p.out));
  Guarded y(static_cast<size_t>(p.rows * p.out)), dx(values(5, p.rows * p.in)),
      dweight(values(6, p.out * p.in));
  Guarded workspace(solver.workspace_bytes ? solver.workspace_bytes(p) / sizeof(float) : 0);
  solver.run(p,
             {x.data(), weight.data(), p.has_bias ? bias.data() : nullptr, y.data(), dy.data(), dx.data(),
              dweight.data(), workspace.data()},
             CpuContext(threads));
  for (const Guarded* memory : {&x, &weight, &bias, &dy, &y, &dx, &dweight, &workspace})
    CHECK_NOTE(memory->intact(), "guards " + note);
  return p.pass == LinearPass::Forward     ? y.values()
         : p.pass == LinearPass::GradInput ? dx.values()
                                           : dweight.values();
}

void check_problem(const LinearProblem& p) {
  Values expected;
  for (const LinearSolver* solver : linear_registry().list(DeviceKind::Cpu))
    if (!std::strcmp(solver->name, "reference")) expected = run(*solver, p, 1, "reference");
  for (Isa isa : available_isas()) {
    force_isa(isa);
    for (const LinearSolver* solver : linear_registry().list(DeviceKind::Cpu)) {
      Values first;
      for (int threads : {1, 2, 3}) {
        std::ostringstream note;
        note << solver->name << ' ' << isa_name(isa) << " x" << threads << ' ' << p;
        const Values actual = run(*solver, p, threads, note.str());
        const double tolerance = expected.size() == 1 ? 1e-5 : 1e-6;  // a single sum may nearly cancel
        CHECK_NOTE(test::relative_error(actual, expected) <= tolerance, note.str());
        if (threads == 1)
          first = actual;
        else
          CHECK_NOTE(test::same_bits(first, actual), "bitwise " + note.str());
      }
    }
  }
}

void check_doors() {
  const auto stream = std::make_shared<CpuStream>();
  const auto filled = [&](const Shape& shape, DType dtype = DType::Float32) {
    const TensorPtr tensor = make_tensor(stream, shape, dtype);
    for (int64_t i = 0; i < shape.size(); ++i) tensor->target_in_layout(1)[i] = static_cast<float>(i);
    return tensor;
  };
  const TensorPtr x = filled({2, 1, 3}), weight = filled({2, 3}), bias = filled({2});
  const TensorPtr y = linear(*x, *weight, bias.get()), dx = filled({2, 1, 3}), dweight = filled({2, 3});
  linear_grad_input(*y, *weight, *dx, GradMode::Overwrite);
  linear_grad_weight(*x, *y, *dweight, GradMode::Accumulate);
  stream->synchronize();
  const auto values = [](const Tensor& tensor) {
    return Values(tensor.in_layout(1), tensor.in_layout(1) + tensor.size());
  };
  CHECK(y->shape() == Shape{2, 1, 2});
  CHECK(values(*y) == Values{5, 15, 14, 51});  // 0 0 1 + 0 1 4 …; [[0,1,2],[3,4,5]] against itself, plus 0, 1
  CHECK(values(*dx) == Values{45, 65, 85, 153, 218, 283});
  CHECK(values(*dweight) == Values{42, 62, 82, 156, 223, 290});
  check_throws(ErrorCode::InvalidShape, "linear: weight [2, 3] takes 3 features, x [2, 4] has 4", [&] {
    linear(*filled({2, 4}), *weight, nullptr);
  });
  const auto vast = [&](const Shape& shape) {  // without memory
    return std::make_shared<Tensor>(stream, shape, DType::Float32);
  };
  check_throws(ErrorCode::InvalidShape,
               "linear: x [65536, 32768, 3] and weight [2, 3] make 2147483648 rows or features, at most "
               "2147483647",
               [&] {
                 linear(*vast({65536, 32768, 3}), *weight, nullptr);
               });
  check_throws(ErrorCode::InvalidShape, "make 4294967296 rows or features", [&] {
    linear_grad_weight(*vast({2, int64_t{1} << 32}), *filled({2, 1}), *vast({1, int64_t{1} << 32}),
                       GradMode::Overwrite);
  });
  check_throws(ErrorCode::InvalidShape, "linear: x [3] needs at least two dimensions, [..., in]",
               [&] { linear(*filled({3}), *weight, nullptr); });
  check_throws(ErrorCode::InvalidShape, "linear: bias [3], weight [2, 3] needs [2]",
               [&] { linear(*x, *weight, filled({3}).get()); });
  check_throws(ErrorCode::Unsupported, "linear: x is int32, float32 is needed", [&] {
    linear(*filled({2, 3}, DType::Int32), *weight, nullptr);
  });
}

}  // namespace
}  // namespace groupconv

int main() {
  using namespace groupconv;
  for (int32_t rows : {1, 2, 3, 8, 9, 33, 50})
    for (int32_t in : {1, 5, 33, 530})
      for (int32_t out : {1, 10, 37})
        for (LinearPass pass : {LinearPass::Forward, LinearPass::GradInput, LinearPass::GradWeight})
          for (bool variant : {false, true})
            check_problem({pass, DType::Float32, rows, in, out, variant && pass == LinearPass::Forward,
                           variant && pass != LinearPass::Forward});
  check_doors();
  return test::report();
}
