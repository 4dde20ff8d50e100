// Several steps over several tensors: the CUDA solvers against the CPU's references, through the doors.
#include "cuda/testing.h"
#include "ops/optimizer/optimizer.h"

namespace groupconv {
namespace {

constexpr int kSteps = 3;
constexpr double kTolerance = 1e-5;  // a single parameter may come close to zero

// step(parameters, gradients, first states, second states, number of the step), then everything's values.
template <class Step>
test::Tensors train(const test::Place& on, const Step& step) {
  std::vector<Shape> shapes{{3}, {16, 7, 3, 3}, {40000}, {1}};
  for (int64_t i = 1; i < 100; ++i) shapes.push_back({i});  // several batches of chunks
  test::Tensors owned;
  std::vector<Tensor*> parameters, first, second;
  std::vector<const Tensor*> gradients;
  for (uint32_t i = 0; i < shapes.size(); ++i) {
    const test::Values zeros(static_cast<size_t>(shapes[i].size()));
    owned.push_back(on.parameter(shapes[i], 2 * i)), parameters.push_back(owned.back().get());
    owned.push_back(on.parameter(shapes[i], 2 * i + 1)), gradients.push_back(owned.back().get());
    owned.push_back(on.parameter(shapes[i], zeros)), first.push_back(owned.back().get());
    owned.push_back(on.parameter(shapes[i], zeros)), second.push_back(owned.back().get());
  }
  for (int i = 1; i <= kSteps; ++i) step(parameters, gradients, first, second, i);
  return owned;
}

using Tensors = std::vector<Tensor*>;
using Gradients = std::vector<const Tensor*>;

void check_sgd(float momentum, float decay, bool nesterov) {
  test::check_on_cuda(sgd_registry(), DType::Float32, kTolerance, "sgd", [&](const test::Place& on) {
    return train(on, [&](const Tensors& p, const Gradients& g, const Tensors& m, const Tensors&, int i) {
      const test::Values numbers{0.1f, i == 1 ? 0 : momentum, i == 1 || nesterov ? 1 : 0.75f};
      sgd_step(p, g, m, *on.parameter({3}, numbers), momentum, decay, nesterov);
    });
  });
}

void check_adamw() {
  test::check_on_cuda(adamw_registry(), DType::Float32, kTolerance, "adamw", [&](const test::Place& on) {
    return train(on, [&](const Tensors& p, const Gradients& g, const Tensors& m, const Tensors& v, int i) {
      const test::Values numbers{0.9995f, static_cast<float>(0.01 / (1 - std::pow(0.9, i))),
                                 static_cast<float>(std::sqrt(1 - std::pow(0.999, i)))};
      adamw_step(p, g, m, v, *on.parameter({3}, numbers), 0.9, 0.999, 1e-8);
    });
  });
}

}  // namespace
}  // namespace groupconv

int main() {
  using namespace groupconv;
  for (const float momentum : {0.0f, 0.9f})
    for (const float decay : {0.0f, 0.1f})
      for (const bool nesterov : {false, true}) check_sgd(momentum, decay, nesterov);
  check_adamw();
  return test::report();
}
