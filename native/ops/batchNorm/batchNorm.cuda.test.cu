// The CUDA solvers against the CPU's float64 reference, through the doors.
#include <cmath>

#include "cuda/testing.h"
#include "ops/batchNorm/batchNorm.h"

namespace groupconv {
namespace {

using test::Place;
using test::Tensors;
using test::Values;

Values scaled(Values values, float scale, float offset) {
  for (float& value : values) value = offset + scale * value;
  return values;
}
Values hashed_like(const Shape& shape, uint32_t seed, float scale = 1, float offset = 0) {
  return scaled(test::hashed_values(seed, static_cast<size_t>(shape.size())), scale, offset);
}

struct Case {
  Shape x;
  Activation activation;
  bool affine, residual, accumulate;
  float scale = 1, offset = 0;  // of x
};

std::string describe(const char* pass, const Case& c) {
  std::ostringstream text;
  text << pass << ' ' << c.x << (c.residual ? " +residual" : "") << (c.accumulate ? " accumulating" : "");
  return text.str();
}

// A case's tensors at one place, and its passes.
struct Layer {
  const Case& c;
  const Place& on;
  Shape channels{c.x[1]};
  TensorPtr x = on.activation(c.x, hashed_like(c.x, 1, c.scale, c.offset)),
            residual = c.residual ? on.activation(c.x, 2) : nullptr,
            weight = c.affine ? on.parameter(channels, hashed_like(channels, 3, 0.5f, 1)) : nullptr,
            bias = c.affine ? on.parameter(channels, 4) : nullptr, mean = on.parameter(channels, 5),
            variance = on.parameter(channels, hashed_like(channels, 6, 0.5f, 1));

  BatchNormForward train() const {
    return batch_norm_train(*x, weight.get(), bias.get(), mean.get(), variance.get(), 0.1f, 1e-5f,
                            residual.get(), c.activation);
  }
  TensorPtr eval() const {
    return batch_norm_eval(*x, weight.get(), bias.get(), *mean, *variance, 1e-5f, residual.get(),
                           c.activation);
  }
  TensorPtr statistics() const {
    return batch_norm_statistics(weight.get(), bias.get(), *mean, *variance, 1e-5f);
  }
  // dx, dresidual or null, dweight, dbias.
  Tensors grad(const Tensor* y, const Tensor& statistics, bool training) const {
    const GradMode mode = c.accumulate ? GradMode::Accumulate : GradMode::Overwrite;
    const auto activation = [&](uint32_t seed) {
      return c.accumulate ? on.activation(c.x, seed) : on.target(c.x);
    };
    const auto parameter = [&](uint32_t seed) {
      return c.accumulate ? on.parameter(channels, seed) : on.parameter_target(channels);
    };
    const Tensors d{activation(8), c.residual ? activation(9) : nullptr, parameter(10), parameter(11)};
    batch_norm_grad(*on.activation(c.x, 7), *x, y, statistics, training, c.activation, {d[0].get(), mode},
                    {d[1].get(), mode}, {d[2].get(), mode}, {d[3].get(), mode});
    return d;
  }
};

Tensors without_null(std::initializer_list<TensorPtr> tensors) {
  Tensors all;
  for (const TensorPtr& tensor : tensors)
    if (tensor) all.push_back(tensor);
  return all;
}

// Values of an output, many of them at the ends of its range.
Values clamped(const Shape& shape) {
  Values values = hashed_like(shape, 12, 9);
  for (float& value : values) value = std::fmin(std::fmax(value, 0), 6);
  return values;
}

void check_case(const Case& c, DType dtype, double tolerance) {
  constexpr double kStatistics = 1e-6, kSums = 5e-6;
  const auto check = [&](const char* pass, double tolerance, const auto& run) {
    test::check_on_cuda(batch_norm_registry(), dtype, tolerance, describe(pass, c), [&](const Place& on) {
      return run(Layer{c, on});
    });
  };
  check("train", tolerance, [](const Layer& layer) { return Tensors{layer.train().y}; });
  check("train's statistics", kStatistics, [](const Layer& layer) {
    const BatchNormForward forward = layer.train();
    return Tensors{forward.statistics, layer.mean, layer.variance};
  });
  check("eval", tolerance, [](const Layer& layer) { return Tensors{layer.eval()}; });
  check("statistics", kStatistics, [](const Layer& layer) { return Tensors{layer.statistics()}; });
  for (bool training : {true, false}) {
    const auto grad = [&](const Layer& layer) {
      const TensorPtr y = c.residual ? layer.on.activation(c.x, clamped(c.x)) : nullptr;
      return layer.grad(y.get(), training ? *layer.train().statistics : *layer.statistics(), training);
    };
    // An output is rounded before it decides a mask, which float32 can't follow close to 6.
    if (!c.residual && c.activation == Activation::Relu6 && dtype != DType::Float32) continue;
    check(training ? "grad" : "eval's grad", tolerance, [&](const Layer& layer) {
      const Tensors d = grad(layer);
      return without_null({d[0], d[1]});
    });
    check(training ? "grad of parameters" : "eval's grad of parameters", kSums, [&](const Layer& layer) {
      const Tensors d = grad(layer);
      return Tensors{d[2], d[3]};
    });
  }
}

void check_cases() {
  // Vectors and single channels; one tile and several; one part and several; a part with a rest.
  const Shape shapes[] = {{2, 8, 7, 7},    {3, 5, 4, 6}, {2, 24, 3, 5},  {1, 33, 5, 4},
                          {40, 48},        {7, 13},      {2, 520, 2, 3}, {3, 64, 17, 19},
                          {1, 16, 40, 41}, {2, 1, 9, 9}, {6, 128, 1, 1}, {5, 32, 20, 21}};
  constexpr Activation kActivations[] = {Activation::None, Activation::Relu, Activation::Relu6};
  for (DType dtype : test::kDTypes) {
    int variant = 0;
    for (const Shape& shape : shapes) {
      ++variant;
      check_case(
          {shape, kActivations[variant % 3], variant % 5 != 0, variant % 2 == 0, variant % 4 < 2, 3, 0.5f},
          dtype, 2 * test::rounding(dtype));
    }
    for (bool accumulate : {true, false})
      for (bool residual : {true, false})
        for (Activation activation : kActivations)
          check_case({{2, 16, 6, 7}, activation, true, residual, accumulate}, dtype,
                     2 * test::rounding(dtype));
  }
  // A mean that is large beside the deviation, and one value far from all others: first of its channel, last.
  for (float offset : {1000.0f, -1000.0f})
    check_case({{3, 64, 17, 19}, Activation::None, true, false, false, std::sqrt(3.0f), offset},
               DType::Float32, 2e-6);
  for (int64_t at : {0, 1, 322}) {
    const Shape shape{3, 8, 17, 19};
    test::check_on_cuda(batch_norm_registry(), DType::Float32, 1e-6, "outlier", [&](const Place& on) {
      Values x = hashed_like(shape, 1);
      for (size_t c = 0; c < 8; ++c) x[c * 323 + static_cast<size_t>(at)] = 3e4f;
      return Tensors{batch_norm_train(*on.activation(shape, x), nullptr, nullptr, nullptr, nullptr, 0.1f,
                                      1e-5f, nullptr, Activation::None)
                         .statistics};
    });
  }
}

// The mask made again of x has the bits of the one that y gives.
void check_masks() {
  for (DType dtype : test::kDTypes)
    for (Activation activation : {Activation::Relu, Activation::Relu6})
      for (int64_t channels : {5, 16}) {
        const Case c{{2, channels, 11, 13}, activation, true, false, false, 30, 3};
        const Layer layer{c, {test::cuda_stream(), dtype}};
        const BatchNormForward forward = layer.train();
        const Tensors of_y = layer.grad(forward.y.get(), *forward.statistics, true),
                      of_x = layer.grad(nullptr, *forward.statistics, true);
        for (size_t i : {0, 2, 3})
          CHECK_NOTE(test::same_bits(test::download(*of_y[i]), test::download(*of_x[i])), name_of(dtype));
      }
}

// x is its own residual: dx and dresidual are one tensor.
void check_one_target() {
  const Case c{{2, 16, 11, 13}, Activation::None, true, true, true};
  test::check_on_cuda(batch_norm_registry(), DType::Float32, 2e-6, "one target", [&](const Place& on) {
    const Layer layer{c, on};
    const TensorPtr statistics = layer.train().statistics, both = on.activation(c.x, 8);
    batch_norm_grad(*on.activation(c.x, 7), *layer.x, nullptr, *statistics, true, c.activation, {both.get()},
                    {both.get(), GradMode::Accumulate}, {}, {});
    return Tensors{both};
  });
}

// Gradients that aren't wanted are left alone, and a NaN stays in its channel.
void check_doors() {
  const Case c{{2, 8, 5, 5}, Activation::Relu, true, false, false};
  for (int wanted = 0; wanted < 8; ++wanted)
    test::check_on_cuda(batch_norm_registry(), DType::Float32, 2e-6, "some gradients", [&](const Place& on) {
      const Layer layer{c, on};
      const TensorPtr dx = on.target(c.x), dweight = on.parameter_target(layer.channels),
                      dbias = on.parameter_target(layer.channels);
      const auto target = [&](int bit, const TensorPtr& tensor) {
        return GradTarget{wanted & bit ? tensor.get() : nullptr};
      };
      batch_norm_grad(*on.activation(c.x, 7), *layer.x, nullptr, *layer.train().statistics, true,
                      c.activation, target(1, dx), {}, target(2, dweight), target(4, dbias));
      return without_null(
          {wanted & 1 ? dx : nullptr, wanted & 2 ? dweight : nullptr, wanted & 4 ? dbias : nullptr});
    });
  Values with_nan = hashed_like(c.x, 1);
  with_nan[30] = NAN;  // of channel 1
  const Place on{test::cuda_stream(), DType::Float32};
  const Values y = test::download(*batch_norm_train(*on.activation(c.x, with_nan), nullptr, nullptr, nullptr,
                                                    nullptr, 0.1f, 1e-5f, nullptr, Activation::Relu)
                                       .y);
  CHECK(!std::isnan(y[24]) && std::isnan(y[25]) && std::isnan(y[30]) && !std::isnan(y[50]));
}

}  // namespace
}  // namespace groupconv

static void tests() {
  using namespace groupconv;
  test::must_notice(
      batch_norm_registry(), "channelRows", "barrier stride launch block thread",
      {{"no epsilon", [](auto& p, auto&) { p.eps = 0; }},
       {"no momentum", [](auto& p, auto&) { p.momentum = 0; }},
       {"no activation", [](auto& p, auto&) { p.activation = Activation::None; }},
       {"statistics are constants, or not", [](auto& p, auto&) { p.training = !p.training; }},
       {"no residual", [](auto&, auto& b) { b.residual = nullptr; }},
       {"dx not added to what was there", [](auto& p, auto&) { p.accumulate_x = false; }},
       {"dresidual not added to what was there", [](auto& p, auto&) { p.accumulate_residual = false; }},
       {"dweight not added to what was there", [](auto& p, auto&) { p.accumulate_weight = false; }},
       {"dbias not added to what was there", [](auto& p, auto&) { p.accumulate_bias = false; }}});
  groupconv::check_cases();
  groupconv::check_masks();
  groupconv::check_one_target();
  groupconv::check_doors();
}

int main() { return groupconv::test::on_a_device(tests); }
