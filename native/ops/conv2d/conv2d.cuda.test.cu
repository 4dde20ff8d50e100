// Every CUDA solver on the problems of the CPU's test against the CPU's reference, through the doors.
#include <sstream>

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

}  // namespace
}  // namespace groupconv

int main() {
  using namespace groupconv;
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
  return test::report();
}
