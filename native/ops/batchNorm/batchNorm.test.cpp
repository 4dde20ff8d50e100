// Every solver on every instruction set and thread count against the float64 reference; then the doors on a
// stream.
#include "ops/batchNorm/batchNorm.h"

#include <memory>
#include <sstream>

#include "core/check.h"
#include "cpu/everywhere.h"
#include "cpu/stream.h"

namespace groupconv {
namespace {

using test::check_throws;
using test::Guarded;
using test::hashed_values;
using test::tensor_of;
using test::values_of;
using Values = std::vector<float>;

struct Case {
  Shape x;
  Activation activation;
  bool training, affine, residual, accumulate;
  float scale = 1, offset = 0;  // of x
};

// What the passes over one case leave, in plain order.
struct Results {
  Values y, mean, inv_std, scale, running_mean, running_var, dx, dresidual, dweight, dbias;
};

Values scaled(Values values, float scale, float offset) {
  for (float& value : values) value = offset + scale * value;
  return values;
}

const BatchNormSolver& find(const BatchNormProblem& p, bool reference) {
  for (const auto* solver : batch_norm_registry().list(DeviceKind::Cpu))
    if (solver->accepts(p) && (!reference || !std::strcmp(solver->name, "reference"))) return *solver;
  fail(ErrorCode::Unsupported, "no solver for ", p);
}

// Forward, then backward with the forward's results; where y decides the mask, once more with the mask made
// of x, which has to give the same bits.
Results run(const Case& c, bool reference, int block, int threads, Isa isa) {
  const CpuContext context(threads);
  const size_t channels = static_cast<size_t>(c.x[1]), size = static_cast<size_t>(c.x.size());
  BatchNormProblem p{};
  p.pass = c.training ? BatchNormPass::Train : BatchNormPass::Eval;
  p.n = c.x[0], p.c = c.x[1], p.pixels = c.x[2] * c.x[3];
  p.block = block;
  p.activation = c.activation;
  p.eps = 1e-5f, p.momentum = 0.1f;
  p.training = c.training;
  p.accumulate_x = p.accumulate_residual = p.accumulate_weight = p.accumulate_bias = c.accumulate;

  const Values before = hashed_values(9, size), vector_before = hashed_values(10, channels);
  Guarded x(c.x, scaled(hashed_values(1, size), c.scale, c.offset), block),
      residual(c.x, hashed_values(2, size), block);
  Guarded y(c.x, block), weight(scaled(hashed_values(3, channels), 0.5f, 1)),
      bias(hashed_values(4, channels));
  Guarded running_mean(hashed_values(5, channels)), running_var(scaled(hashed_values(6, channels), 0.5f, 1));
  Guarded mean(channels), inv_std(channels), scale(channels), shift(channels),
      dy(c.x, hashed_values(7, size), block);
  Guarded dx(c.x, before, block), dresidual(c.x, before, block), dweight(vector_before), dbias(vector_before);
  if (!c.accumulate)
    for (Guarded* target : {&dx, &dresidual, &dweight, &dbias})
      for (size_t i = 0; i < target->size(); ++i) target->data()[i] = NAN;

  BatchNormBuffers b{};
  b.x = x.data(), b.y = y.data();
  b.residual = c.residual ? residual.data() : nullptr;
  b.weight = c.affine ? weight.data() : nullptr;
  b.bias = c.affine ? bias.data() : nullptr;
  b.running_mean = running_mean.data(), b.running_var = running_var.data();
  b.mean = mean.data(), b.inv_std = inv_std.data();
  b.scale = scale.data(), b.shift = shift.data();
  std::string note;
  const auto call = [&] {
    const BatchNormSolver& solver = find(p, reference);
    note = test::describe(solver, p, isa, threads);
    Guarded workspace(solver.workspace_bytes ? solver.workspace_bytes(p) / 4 : 0);
    b.workspace = workspace.data();
    solver.run(p, b, context);
    CHECK_NOTE(workspace.intact(), "workspace of " + note);
  };
  call();
  CHECK_NOTE(y.pad_lanes_zero(c.x, block), "pad lanes of " + note);
  if (!c.training) {
    BatchNormProblem statistics = p;
    statistics.pass = BatchNormPass::Statistics;
    find(statistics, reference).run(statistics, b, context);
  }
  p.pass = BatchNormPass::Grad;
  b.dy = dy.data(), b.dx = dx.data(), b.dweight = dweight.data(), b.dbias = dbias.data();
  b.dresidual = c.residual ? dresidual.data() : nullptr;
  if (c.activation == Activation::None) b.y = nullptr;
  call();
  if (c.activation != Activation::None && !c.residual && !c.accumulate) {
    const Values of_y[] = {dx.plain(c.x, block), dweight.values(), dbias.values()};
    b.y = nullptr;
    call();
    CHECK_NOTE(test::same_bits(of_y[0], dx.plain(c.x, block)) && test::same_bits(of_y[1], dweight.values()) &&
                   test::same_bits(of_y[2], dbias.values()),
               "mask of x, " + note);
  }
  CHECK_NOTE(dx.pad_lanes_zero(c.x, block) && (!c.residual || dresidual.pad_lanes_zero(c.x, block)),
             "pad lanes of " + note);
  for (const Guarded* guarded : {&x, &residual, &y, &weight, &bias, &running_mean, &running_var, &mean,
                                 &inv_std, &scale, &shift, &dy, &dx, &dresidual, &dweight, &dbias})
    CHECK_NOTE(guarded->intact(), "guards of " + note);
  Results r{y.plain(c.x, block),   mean.values(),        inv_std.values(),     scale.values(),
            running_mean.values(), running_var.values(), dx.plain(c.x, block), dresidual.plain(c.x, block),
            dweight.values(),      dbias.values()};
  if (!c.residual) r.dresidual.clear();
  return r;
}

void check_case(const Case& c) {
  force_isa(available_isas().front());
  const Results expected = run(c, true, 1, 1, Isa::Baseline);
  for (Isa isa : available_isas()) {
    force_isa(isa);
    for (int block : {1, simd_width(isa)}) {
      Results first;
      for (int threads : {1, 2, 3}) {
        const Results actual = run(c, false, block, threads, isa);
        if (threads == 1) first = actual;
        const auto check = [&](const char* name, const Values Results::*values, double tolerance) {
          std::ostringstream note;
          note << name << ' ' << isa_name(isa) << " block " << block << " x" << threads << ' ' << c.x;
          const double error = test::relative_error(actual.*values, expected.*values);
          CHECK_NOTE(error <= tolerance, note.str() + " error " + std::to_string(error * 1e6) + "e-6");
          CHECK_NOTE(test::same_bits(actual.*values, first.*values), "bitwise " + note.str());
        };
        check("y", &Results::y, 1e-6), check("mean", &Results::mean, 1e-6),
            check("inv_std", &Results::inv_std, 1e-6), check("scale", &Results::scale, 1e-6);
        check("running_mean", &Results::running_mean, 1e-6),
            check("running_var", &Results::running_var, 1e-6);
        check("dx", &Results::dx, 1e-5), check("dresidual", &Results::dresidual, 1e-5);
        check("dweight", &Results::dweight, 1e-5), check("dbias", &Results::dbias, 1e-5);
      }
    }
  }
}

void check_solvers() {
  const Shape shapes[] = {{2, 8, 7, 7},  {3, 5, 4, 6},   {4, 13, 1, 1}, {2, 17, 3, 5},  {1, 33, 5, 4},
                          {5, 3, 1, 7},  {1, 1, 9, 9},   {8, 64, 2, 2}, {20, 16, 1, 1}, {1, 6, 40, 41},
                          {17, 7, 3, 3}, {2, 20, 33, 9}, {1, 128, 2, 1}};
  int variant = 0;
  for (const Shape& shape : shapes)
    for (bool training : {true, false})
      for (Activation activation : {Activation::None, Activation::Relu, Activation::Relu6}) {
        ++variant;
        check_case(
            {shape, activation, training, variant % 5 != 0, variant % 2 == 0, variant % 3 == 0, 3.0f, 0.5f});
      }
  for (bool accumulate : {true, false})
    for (bool residual : {true, false})
      check_case({{2, 21, 6, 7}, Activation::Relu, true, true, residual, accumulate});
  check_case({{2, 6, 8, 8}, Activation::None, true, true, false, false, std::sqrt(3.0f), 1000});
  check_case({{3, 19, 30, 31}, Activation::Relu, true, true, true, false, std::sqrt(3.0f), 1000});
  check_case({{4, 19, 3, 4}, Activation::None, true, true, false, false, 0.01f, -1});
}

// One channel's first value far from all others: the sums' origin is a bad guess.
void check_outlier() {
  std::vector<float> x = hashed_values(1, 2 * 8 * 300);
  for (int64_t c = 0; c < 8; ++c) x[c * 300] = 3e4f;
  for (Isa isa : available_isas()) {
    force_isa(isa);
    const auto stream = std::make_shared<CpuStream>();
    const TensorPtr tensor = tensor_of(stream, {2, 8, 15, 20}, x);
    const BatchNormForward result =
        batch_norm_train(*tensor, nullptr, nullptr, nullptr, nullptr, 0.1f, 1e-5f, nullptr, Activation::None);
    stream->synchronize();
    for (int64_t c = 0; c < 8; ++c) {
      double mean = 0, squares = 0;
      const auto each = [&](auto body) {
        for (int64_t i = 0; i < 600; ++i) body(double{x[(i / 300 * 8 + c) * 300 + i % 300]});
      };
      each([&](double v) { mean += v / 600; });
      each([&](double v) { squares += (v - mean) * (v - mean); });
      CHECK(std::abs(result.statistics->in_layout(1)[c] / mean - 1) < 1e-6);
      CHECK(std::abs(result.statistics->in_layout(1)[8 + c] * std::sqrt(squares / 600) - 1) < 1e-6);
    }
  }
}

// The same values as [N, C] and as [N, C, 1, 1]; rank and checks at the door; NaN; what is not wanted stays
// away.
void check_doors() {
  const auto stream = std::make_shared<CpuStream>();
  for (int64_t c : {3, 13, 32}) {
    const Values x = hashed_values(1, 6 * c), dy = hashed_values(2, 6 * c), weight = hashed_values(3, c);
    Values y[2], dx[2];
    for (int rank : {2, 4}) {
      const Shape shape = rank == 2 ? Shape{6, c} : Shape{6, c, 1, 1};
      const TensorPtr tx = tensor_of(stream, shape, x), tdy = tensor_of(stream, shape, dy),
                      tw = tensor_of(stream, {c}, weight),
                      tdx = std::make_shared<Tensor>(stream, shape, DType::Float32),
                      mean = tensor_of(stream, {c}, Values(c, 0)), var = tensor_of(stream, {c}, Values(c, 1));
      const uint64_t version = var->version();
      const BatchNormForward f = batch_norm_train(*tx, tw.get(), nullptr, mean.get(), var.get(), 1, 1e-5f,
                                                  nullptr, Activation::Relu);
      CHECK(var->version() > version);
      batch_norm_grad(*tdy, *tx, nullptr, *f.statistics, true, Activation::Relu,
                      {tdx.get(), GradMode::Overwrite}, {}, {}, {});
      y[rank / 4] = values_of(*f.y), dx[rank / 4] = values_of(*tdx);
      const Values statistics = values_of(*f.statistics);
      CHECK(test::relative_error(values_of(*mean), Values(statistics.begin(), statistics.begin() + c)) <
            1e-6);
      // With momentum 1 the running variance is the batch's unbiased one: 6/5 of what inv_std was made from.
      const Values variance = values_of(*var), made(statistics.begin() + c, statistics.begin() + 2 * c);
      for (int64_t i = 0; i < c; ++i)
        CHECK(std::abs(made[i] * std::sqrt(variance[i] * 5 / 6 + 1e-5) - 1) < 1e-5);
      const Values evaluated =
          values_of(*batch_norm_eval(*tx, tw.get(), nullptr, *mean, *var, 1e-5f, nullptr, Activation::None));
      CHECK(evaluated.size() == x.size() && std::isfinite(evaluated[0]));
      const Values fixed = values_of(*batch_norm_statistics(tw.get(), nullptr, *mean, *var, 1e-5f));
      const double inv_std = 1 / std::sqrt(variance[0] + 1e-5);
      CHECK(std::abs(fixed[c] - inv_std) < 1e-6 * inv_std);
      CHECK(std::abs(fixed[2 * c] - inv_std * weight[0]) < 1e-6 * inv_std && fixed[3 * c] == 0);
    }
    CHECK(test::relative_error(y[0], y[1]) < 1e-6 && test::relative_error(dx[0], dx[1]) < 1e-5);
  }
  {  // x is its own residual: one gradient tensor takes both
    const Shape shape{2, 8, 3, 3};
    const TensorPtr x = tensor_of(stream, shape, hashed_values(1, 144)),
                    dy = tensor_of(stream, shape, hashed_values(2, 144));
    Tensor dx(stream, shape, DType::Float32), dresidual(stream, shape, DType::Float32),
        both(stream, shape, DType::Float32);
    const BatchNormForward f =
        batch_norm_train(*x, nullptr, nullptr, nullptr, nullptr, 0, 1e-5f, x.get(), Activation::Relu);
    const auto grad = [&](GradTarget dx, GradTarget dresidual) {
      batch_norm_grad(*dy, *x, f.y.get(), *f.statistics, true, Activation::Relu, dx, dresidual, {}, {});
    };
    grad({&dx, GradMode::Overwrite}, {&dresidual, GradMode::Overwrite});
    grad({&both, GradMode::Overwrite}, {&both, GradMode::Accumulate});
    Values expected = values_of(dx);
    const Values rest = values_of(dresidual);
    for (size_t i = 0; i < rest.size(); ++i) expected[i] += rest[i];
    CHECK(test::relative_error(values_of(both), expected) < 1e-6);
  }
  Values with_nan = hashed_values(1, 2 * 8 * 4);
  with_nan[5] = NAN;
  const TensorPtr x = tensor_of(stream, {2, 8, 2, 2}, with_nan);
  const Values y = values_of(
      *batch_norm_train(*x, nullptr, nullptr, nullptr, nullptr, 0.1f, 1e-5f, nullptr, Activation::Relu).y);
  CHECK(std::isnan(y[4]) && std::isnan(y[5]) && !std::isnan(y[0]));  // the channel's values, no other's

  const TensorPtr single = tensor_of(stream, {1, 8, 1, 1}, Values(8, 1)),
                  vector = tensor_of(stream, {8}, Values(8, 1)), five = tensor_of(stream, {5}, Values(5, 1));
  const auto train = [&](const Tensor& x, const Tensor* weight, float eps, const Tensor* residual) {
    batch_norm_train(x, weight, nullptr, nullptr, nullptr, 0.1f, eps, residual, Activation::None);
  };
  check_throws(ErrorCode::InvalidShape, "more than one value per channel, x [1, 8, 1, 1]",
               [&] { train(*single, nullptr, 1e-5f, nullptr); });
  check_throws(ErrorCode::InvalidShape, "weight [5] for x [2, 8, 2, 2], expected [8]",
               [&] { train(*x, five.get(), 1e-5f, nullptr); });
  check_throws(ErrorCode::InvalidShape, "residual [1, 8, 1, 1]",
               [&] { train(*x, nullptr, 1e-5f, single.get()); });
  check_throws(ErrorCode::InvalidArgument, "eps is positive", [&] { train(*x, nullptr, 0, nullptr); });
  check_throws(ErrorCode::InvalidShape, "rank 1", [&] { train(*vector, nullptr, 1e-5f, nullptr); });
  check_throws(ErrorCode::InvalidShape, "runningVar [5]", [&] {
    batch_norm_eval(*x, nullptr, nullptr, *vector, *five, 1e-5f, nullptr, Activation::None);
  });
  check_throws(ErrorCode::InvalidArgument, "needs y", [&] {
    Tensor dresidual(stream, x->shape(), DType::Float32);
    const TensorPtr statistics = tensor_of(stream, {4, 8}, Values(32, 1));
    batch_norm_grad(*x, *x, nullptr, *statistics, true, Activation::Relu, {}, {&dresidual}, {}, {});
  });
  check_throws(ErrorCode::InvalidShape, "statistics [8]",
               [&] { batch_norm_grad(*x, *x, nullptr, *vector, true, Activation::Relu, {}, {}, {}, {}); });
  const Tensor integers(stream, {2, 8, 2, 2}, DType::Int32);
  check_throws(ErrorCode::Unsupported, "x is int32", [&] { train(integers, nullptr, 1e-5f, nullptr); });
}

}  // namespace
}  // namespace groupconv

int main() {
  groupconv::check_solvers();
  groupconv::check_outlier();
  groupconv::check_doors();
  return groupconv::test::report();
}
