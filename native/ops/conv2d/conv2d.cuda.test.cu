// Every CUDA solver on the problems of the CPU's test against the CPU's reference, through the doors.
#include <sstream>

#include "cuda/settings.h"
#include "cuda/testing.h"
#include "ops/conv2d/conv2d.h"
#include "ops/conv2d/conv2d.problems.h"

namespace groupconv {
namespace {

using test::Place;
using test::Tensors;

// What the emulator does in a hundredth of a second.
constexpr int64_t kMostMacs = 1 << 18;

struct Shapes {
  Shape x, weight, y;
  Conv2dGeometry geometry;
};

Shapes shapes_of(const Conv2dProblem& p) {
  return {{p.n, p.c, p.h, p.w},
          {p.k, p.channels_per_group(), p.r, p.s},
          {p.n, p.k, p.p, p.q},
          {{p.stride_h, p.stride_w},
           {p.dilation_h, p.dilation_w},
           {p.pad_top, p.pad_right, p.pad_bottom, p.pad_left},
           p.groups}};
}

constexpr double kFloat32 = 3e-6;  // of sums of products

void check_forward(const Shapes& shapes, DType dtype, Activation activation, const std::string& what) {
  const Shape outputs{shapes.weight[0]};
  test::check_on_cuda(
      conv2d_registry(), dtype, test::activation_tolerance(dtype, kFloat32), what, [&](const Place& on) {
        const TensorPtr x = on.activation(shapes.x, 1), weight = on.parameter(shapes.weight, 2);
        if (activation == Activation::None)
          return Tensors{conv2d(*x, *weight, nullptr, nullptr, {}, activation, shapes.geometry)};
        const TensorPtr bias = on.parameter(outputs, 3), residual = on.activation(shapes.y, 4);
        const TensorPtr norm_weight = on.parameter(outputs, 5), mean = on.parameter(outputs, 6);
        test::Values variances = test::hashed_values(7, static_cast<size_t>(outputs.size()));
        for (float& variance : variances) variance = 1.5f + variance;
        const TensorPtr variance = on.parameter(outputs, variances);
        const FoldedNorm norm{norm_weight.get(), bias.get(), mean.get(), variance.get(), 1e-5f};
        const TensorPtr kept =
            conv2d(*x, *weight, bias.get(), nullptr, {residual.get(), false}, activation, shapes.geometry);
        return Tensors{kept, conv2d(*x, *weight, bias.get(), &norm, {residual.get(), true}, activation,
                                    shapes.geometry)};
      });
}

void check_gradients(const Shapes& shapes, DType dtype, GradMode mode, const std::string& what) {
  const bool fresh = mode == GradMode::Overwrite;
  test::check_on_cuda(conv2d_registry(), dtype, test::activation_tolerance(dtype, kFloat32), what,
                      [&](const Place& on) {
                        const TensorPtr dx = fresh ? on.target(shapes.x) : on.activation(shapes.x, 5);
                        conv2d_grad_input(*on.activation(shapes.y, 1), *on.parameter(shapes.weight, 2),
                                          shapes.geometry, *dx, mode);
                        return Tensors{dx};
                      });
  test::check_on_cuda(
      conv2d_registry(), dtype, test::parameter_tolerance(dtype, kFloat32), what, [&](const Place& on) {
        const TensorPtr dweight = fresh ? on.parameter_target(shapes.weight) : on.parameter(shapes.weight, 5);
        conv2d_grad_weight(*on.activation(shapes.x, 1), *on.activation(shapes.y, 2), shapes.geometry,
                           *dweight, mode);
        return Tensors{dweight};
      });
}

// Everything at once: whatever is misread, it is noticed here, and not tried with case after case.
void check_mixture() {
  const Shapes shapes =
      shapes_of(conv2d_problem({2, 8, 15, 13}, {12, 4, 3, 3}, {{3, 2}, {2, 3}, {3, 1, 2, 4}, 2}));
  for (const Activation activation : {Activation::None, Activation::Relu6})
    check_forward(shapes, DType::Float32, activation, "mixture");
  for (const GradMode mode : {GradMode::Overwrite, GradMode::Accumulate})
    check_gradients(shapes, DType::Float32, mode, "mixture");
}

// Values that TF32 has, so that its products are exact.
void check_tf32() {
  const Shape x{2, 64, 7, 9}, weight{64, 8, 3, 3};
  const Conv2dGeometry geometry{{1, 1}, {1, 1}, {1, 1, 1, 1}, 8};
  const auto short_values = [](uint32_t seed, const Shape& shape) {
    test::Values values = test::hashed_values(seed, static_cast<size_t>(shape.size()));
    for (float& value : values) value = std::round(value * 1024) / 1024;
    return values;
  };
  const auto check = [&](const char* what, const test::Run& run) {
    test::check_on_cuda(conv2d_registry(), DType::Float32, kFloat32, what, run);
  };
  cuda::addon_settings().allow_tf32 = true;
  check("tf32", [&](const Place& on) {
    return Tensors{conv2d(*on.activation(x, short_values(1, x)),
                          *on.parameter(weight, short_values(2, weight)), nullptr, nullptr, {},
                          Activation::None, geometry)};
  });
  check("tf32's gradWeight", [&](const Place& on) {
    const TensorPtr dweight = on.parameter_target(weight);
    conv2d_grad_weight(*on.activation(x, short_values(1, x)), *on.activation(x, short_values(2, x)), geometry,
                       *dweight, GradMode::Overwrite);
    return Tensors{dweight};
  });
  cuda::addon_settings().allow_tf32 = false;
}

// The folding on its own: what it gives to whatever solver comes first.
void check_fold() {
  const Shape x{1, 8, 5, 5}, weight{32, 8, 1, 1}, outputs{32};
  for (const bool has_bias : {true, false})
    test::check_on_cuda(conv2d_fold_registry(), DType::Float32, kFloat32, "folding", [&](const Place& on) {
      const TensorPtr bias = on.parameter(outputs, 3), mean = on.parameter(outputs, 6),
                      scale = on.parameter(outputs, 4), shift = on.parameter(outputs, 5),
                      variance = on.parameter(outputs, test::Values(32, 0.25f));
      const FoldedNorm norm{scale.get(), shift.get(), mean.get(), variance.get(), 0.01f};
      return Tensors{conv2d(*on.activation(x, 1), *on.parameter(weight, 2), has_bias ? bias.get() : nullptr,
                            &norm, {}, Activation::None, {{1, 1}, {1, 1}, {0, 0, 0, 0}, 1})};
    });
}

void say_what_is_noticed() {
  test::must_notice(conv2d_registry(), "depthwise", "barrier launch block thread");
  for (const char* own : {"grouped3x3", "grouped3x3Tf32", "grouped3x3Float32"})
    test::must_notice(conv2d_registry(), own, "barrier exchange stride launch block thread");
  test::must_notice(conv2d_registry(), "direct", "stride launch block thread",
                    {{"the last tap of a column is left out", [](auto& p, auto&) { --p.r; }},
                     {"the last tap of a row is left out", [](auto& p, auto&) { --p.s; }},
                     {"the last output channel is left out", [](auto& p, auto&) { p.k -= p.groups; }},
                     {"rows move on by one", [](auto& p, auto&) { p.stride_h = 1; }},
                     {"columns move on by one", [](auto& p, auto&) { p.stride_w = 1; }},
                     {"no dilation of columns", [](auto& p, auto&) { p.dilation_h = 1; }},
                     {"no dilation of rows", [](auto& p, auto&) { p.dilation_w = 1; }},
                     {"no padding above", [](auto& p, auto&) { p.pad_top = 0; }},
                     {"no padding before", [](auto& p, auto&) { p.pad_left = 0; }},
                     {"height and width change places", [](auto& p, auto&) { std::swap(p.h, p.w); }},
                     {"no bias", [](auto& p, auto&) { p.has_bias = 0; }},
                     {"no residual", [](auto& p, auto&) { p.has_residual = 0; }},
                     {"no activation", [](auto& p, auto&) { p.activation = Activation::None; }},
                     {"added to what was there", [](auto& p, auto&) { p.accumulate = 1; }},
                     {"not added to what was there", [](auto& p, auto&) { p.accumulate = 0; }}});
  test::must_notice(
      conv2d_fold_registry(), "direct", "launch block thread",
      {{"the last output is left out", [](auto& p, auto&) { --p.k; }},
       {"the last weight is left out", [](auto& p, auto&) { --p.per_output; }},
       {"no epsilon", [](auto& p, auto&) { p.eps = 0; }},
       {"no bias", [](auto& p, auto&) { p.has_bias = false; }},
       {"mean and variance change places", [](auto&, auto& b) { std::swap(b.mean, b.variance); }}});
}

}  // namespace
}  // namespace groupconv

static void tests() {
  using namespace groupconv;
  say_what_is_noticed();
  check_mixture();
  check_tf32();
  check_fold();
  int taken = 0;
  for (const Conv2dProblem& problem : test::conv2d_problems()) {
    if (problem.macs() > kMostMacs) continue;
    const DType dtype = test::kDTypes[taken++ % 3];
    const Shapes shapes = shapes_of(problem);
    std::ostringstream text;
    text << problem;
    for (const Activation activation : {Activation::None, taken % 2 ? Activation::Relu : Activation::Relu6})
      check_forward(shapes, dtype, activation, text.str());
    for (const GradMode mode : {GradMode::Overwrite, GradMode::Accumulate})
      check_gradients(shapes, dtype, mode, text.str() + " gradients");
  }
  std::printf("%d problems\n", taken);
}

int main() { return groupconv::test::on_a_device(tests); }
