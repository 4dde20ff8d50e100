// Several steps over several tensors: the CUDA solvers against the CPU's references, through the doors.
#include "cuda/testing.h"
#include "ops/optimizer/optimizer.h"

namespace groupconv {
namespace {

constexpr int kSteps = 3;
constexpr double kTolerance = 1e-5;  // a single parameter may come close to zero

// step(parameters, gradients, first states, second states, number of the step), then everything's values.
template <class Step>
test::Tensors train(const test::Place& on, bool many, const Step& step) {
  std::vector<Shape> shapes;
  for (int64_t i = 1; many && i < 100; ++i) shapes.push_back({i});  // several batches of chunks
  for (const Shape& shape : {Shape{3}, Shape{16, 7, 3, 3}, Shape{1}, Shape{40000}}) shapes.push_back(shape);
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

void check_sgd(bool many, float momentum, float decay, bool nesterov) {
  test::check_on_cuda(sgd_registry(), DType::Float32, kTolerance, "sgd", [&](const test::Place& on) {
    return train(on, many,
                 [&](const Tensors& p, const Gradients& g, const Tensors& m, const Tensors&, int i) {
                   const test::Values numbers{0.1f, i == 1 ? 0 : momentum, i == 1 || nesterov ? 1 : 0.75f};
                   sgd_step(p, g, m, *on.parameter({3}, numbers), momentum, decay, nesterov);
                 });
  });
}

void check_adamw(bool many, double eps) {
  test::check_on_cuda(adamw_registry(), DType::Float32, kTolerance, "adamw", [&](const test::Place& on) {
    return train(on, many,
                 [&](const Tensors& p, const Gradients& g, const Tensors& m, const Tensors& v, int i) {
                   const test::Values numbers{0.9995f, static_cast<float>(0.01 / (1 - std::pow(0.9, i))),
                                              static_cast<float>(std::sqrt(1 - std::pow(0.999, i)))};
                   adamw_step(p, g, m, v, *on.parameter({3}, numbers), 0.9, 0.999, eps);
                 });
  });
}

// Memory is the host's, where mistakes are made.
template <class Numbers>
const Numbers* changed(const Numbers* from, float Numbers::*member, float value) {
  static Numbers numbers;
  numbers = *from;
  numbers.*member = value;
  return &numbers;
}
// The gradient of every chunk is the next one's, as far as there is one.
template <class Buffers>
void shift_gradients(Buffers& b) {
  static std::vector<OptimizerChunk> chunks;
  chunks.assign(b.chunks, b.chunks + b.count);
  for (size_t i = 0; i + 1 < chunks.size(); ++i)
    if (chunks[i + 1].size >= chunks[i].size) chunks[i].gradient = chunks[i + 1].gradient;
  b.chunks = chunks.data();
}

void say_what_is_noticed() {
  test::must_notice(sgd_registry(), "batches", "stride launch block thread",
                    {{"the last chunk is left out", [](auto&, auto& b) { --b.count; }},
                     {"another chunk's gradient", [](auto&, auto& b) { shift_gradients(b); }},
                     {"no weight decay", [](auto& p, auto&) { p.weight_decay = 0; }},
                     {"no momentum", [](auto& p, auto&) { p.momentum = 0; }},
                     {"Nesterov's, or not", [](auto& p, auto&) { p.nesterov = !p.nesterov; }},
                     {"the first step's momentum",
                      [](auto&, auto& b) { b.numbers = changed(b.numbers, &SgdNumbers::keep, 0); }},
                     {"no dampening", [](auto&, auto& b) {
                        b.numbers = changed(b.numbers, &SgdNumbers::gradient_factor, 1);
                      }}});
  test::must_notice(
      adamw_registry(), "batches", "stride launch block thread",
      {{"the last chunk is left out", [](auto&, auto& b) { --b.count; }},
       {"another chunk's gradient", [](auto&, auto& b) { shift_gradients(b); }},
       {"1 - beta2 in float32", [](auto& p, auto&) { p.rest2 = 1 - p.beta2; }},
       {"no epsilon", [](auto& p, auto&) { p.eps = 0; }},
       {"no weight decay", [](auto&, auto& b) { b.numbers = changed(b.numbers, &AdamwNumbers::decay, 1); }},
       {"no correction of the second moment",
        [](auto&, auto& b) { b.numbers = changed(b.numbers, &AdamwNumbers::root_correction, 1); }}});
}

}  // namespace
}  // namespace groupconv

static void tests() {
  using namespace groupconv;
  say_what_is_noticed();
  for (const float momentum : {0.0f, 0.9f})
    for (const float decay : {0.0f, 0.1f})
      for (const bool nesterov : {false, true}) check_sgd(false, momentum, decay, nesterov);
  check_sgd(true, 0, 0.1f, false);
  check_sgd(true, 0.9f, 0.1f, true);
  for (const double eps : {1e-8, 0.01}) check_adamw(false, eps);
  check_adamw(true, 1e-8);
}

int main() { return groupconv::test::on_a_device(tests); }
