// Several steps over several tensors: every solver on every instruction set and thread count against the
// float64 reference, through the doors; guards; numbers worked out by hand.
#include "ops/optimizer/optimizer.h"

#include "core/check.h"
#include "cpu/everywhere.h"
#include "cpu/stream.h"

namespace groupconv {
namespace {

using test::check_throws;
using test::Guarded;
using Values = std::vector<float>;

const std::vector<Shape> kShapes{{3}, {16, 7, 3, 3}, {40000}, {1}};

TensorPtr zeros(const std::shared_ptr<Stream>& stream, const Shape& shape) {
  const TensorPtr tensor = make_tensor(stream, shape, DType::Float32);
  const Values values(static_cast<size_t>(shape.size()));
  stream->upload(values.data(), *tensor);
  return tensor;
}

template <class Numbers>
TensorPtr numbers_of(const std::shared_ptr<Stream>& stream, const Numbers& numbers) {
  const TensorPtr tensor = make_tensor(stream, {sizeof(Numbers) / sizeof(float)}, DType::Float32);
  stream->upload(&numbers, *tensor);
  return tensor;
}
SgdNumbers sgd_numbers(double lr, double momentum, double dampening, bool first) {
  return {static_cast<float>(lr), first ? 0 : static_cast<float>(momentum),
          first ? 1 : static_cast<float>(1 - dampening)};
}
AdamwNumbers adamw_numbers(double lr, double beta1, double beta2, double weight_decay, int step) {
  return {static_cast<float>(1 - lr * weight_decay), static_cast<float>(lr / (1 - std::pow(beta1, step))),
          static_cast<float>(std::sqrt(1 - std::pow(beta2, step)))};
}

// Parameters and states after three steps, and everything's values in one list.
template <class Step>
Values train(AnyRegistry& registry, const char* solver, const Step& step) {
  registry.force(solver);
  const auto stream = std::make_shared<CpuStream>();
  std::vector<TensorPtr> owned;
  const auto make = [&](const Shape& shape, uint32_t seed) {
    owned.push_back(make_tensor(stream, shape, DType::Float32));
    const Values values = test::hashed_values(seed, static_cast<size_t>(shape.size()));
    stream->synchronize();  // queued work may still read this memory
    std::memcpy(owned.back()->target_in_layout(1), values.data(), values.size() * sizeof(float));
    if (shape.rank() == 4) owned.back()->in_layout(stream->activation_block(shape[1]));
    return owned.back().get();
  };
  std::vector<Tensor*> parameters, first, second;
  std::vector<const Tensor*> gradients;
  for (uint32_t i = 0; i < kShapes.size(); ++i) {
    parameters.push_back(make(kShapes[i], 4 * i));
    gradients.push_back(make(kShapes[i], 4 * i + 1));
    for (auto* states : {&first, &second}) {
      owned.push_back(zeros(stream, kShapes[i]));
      states->push_back(owned.back().get());
    }
  }
  for (int i = 1; i <= 3; ++i) step(parameters, gradients, first, second, i);
  registry.force("");
  return test::values_of(owned);
}

template <class Step>
void check_solvers(AnyRegistry& registry, const std::string& what, const Step& step) {
  const Values expected = train(registry, "reference", step);
  test::check_everywhere(
      expected, 1e-7, what, [&] { return train(registry, "vectorised", step); },
      [&](const Values& actual, const std::string& note) {
        double worst = 0;
        for (size_t i = 0; i < actual.size(); ++i)
          worst = std::fmax(worst, std::fabs(double{actual[i]} - expected[i]));
        CHECK_NOTE(worst <= 1e-6, note + " error " + std::to_string(worst));
      });
}

void check_guards() {
  for (Isa isa : available_isas()) {
    force_isa(isa);
    for (int64_t size : {1, 7, 16, 33}) {
      Guarded parameter(Values(size, 1.0f)), gradient(Values(size, 0.5f)), first(Values(size, 0.25f)),
          second(Values(size, 0.125f));
      const OptimizerChunk chunk{parameter.data(), gradient.data(), first.data(), second.data(), size};
      const SgdNumbers sgd = sgd_numbers(0.1, 0.9, 0, false);
      for (float momentum : {0.0f, 0.9f}) {
        const SgdProblem p{momentum, 0.01f, true};
        for (const SgdSolver* solver : sgd_registry().list(DeviceKind::Cpu))
          if (solver->accepts(p)) solver->run(p, {&chunk, 1, &sgd}, CpuContext(1));
      }
      const AdamwNumbers adamw = adamw_numbers(0.1, 0.9, 0.99, 0.1, 1);
      const AdamwProblem p{0.9f, 0.99f, 0.1f, 0.01f, 1e-8f};
      for (const AdamwSolver* solver : adamw_registry().list(DeviceKind::Cpu))
        if (solver->accepts(p)) solver->run(p, {&chunk, 1, &adamw}, CpuContext(1));
      CHECK(parameter.intact() && gradient.intact() && first.intact() && second.intact());
    }
  }
}

// One parameter 1, gradient 0.5, two steps.
void check_by_hand() {
  const auto stream = std::make_shared<CpuStream>();
  const auto scalar = [&](float value) {
    const TensorPtr tensor = make_tensor(stream, {1}, DType::Float32);
    *tensor->target_in_layout(1) = value;
    return tensor;
  };
  const auto value = [&](const TensorPtr& tensor) {
    stream->synchronize();
    return *tensor->in_layout(1);
  };
  const TensorPtr p = scalar(1), g = scalar(0.5f), m = scalar(0), v = scalar(0);
  const auto sgd = [&](double dampening, bool first) {
    return numbers_of(stream, sgd_numbers(0.1, 0.9, dampening, first));
  };
  sgd_step({p.get()}, {g.get()}, {m.get()}, *sgd(0.5, true), 0.9, 0.2, false);
  CHECK(std::fabs(value(p) - 0.93f) < 1e-7);  // g = 0.5 + 0.2 = 0.7; no dampening the first time
  sgd_step({p.get()}, {g.get()}, {m.get()}, *sgd(0.5, false), 0.9, 0.2, false);
  CHECK(std::fabs(value(p) - (0.93 - 0.1 * (0.63 + 0.5 * 0.686))) < 1e-7);
  for (const TensorPtr& tensor : {p, m}) *tensor->update_in_layout(1) = tensor == p;
  const TensorPtr adamw = numbers_of(stream, adamw_numbers(0.1, 0.9, 0.999, 0.01, 1));
  adamw_step({p.get()}, {g.get()}, {m.get()}, {v.get()}, *adamw, 0.9, 0.999, 1e-8);
  CHECK(std::fabs(value(p) - (0.999 - 0.1)) < 1e-6);  // the first step is lr in size, whatever the gradient
  CHECK(std::fabs(value(m) - 0.05f) < 1e-8 && std::fabs(value(v) - 0.00025f) < 1e-10);
  const uint64_t version = p->version();
  sgd_step({p.get()}, {g.get()}, {}, *sgd(0, true), 0, 0, false);
  CHECK(p->version() > version && std::fabs(value(p) - (0.899 - 0.05)) < 1e-6);
  for (const auto& call : std::vector<std::function<void()>>{
           [&] { sgd_step({p.get()}, {}, {}, *sgd(0, true), 0, 0, false); },
           [&] { sgd_step({p.get()}, {g.get()}, {}, *sgd(0, true), 0.9, 0, false); }})
    check_throws(ErrorCode::InvalidArgument, "", call);
  check_throws(ErrorCode::InvalidShape, "adamw: numbers [1], expected [3]",
               [&] { adamw_step({p.get()}, {g.get()}, {m.get()}, {v.get()}, *g, 0.9, 0.999, 1e-8); });
}

}  // namespace
}  // namespace groupconv

int main() {
  using namespace groupconv;
  using Tensors = std::vector<Tensor*>;
  using Gradients = std::vector<const Tensor*>;
  for (double momentum : {0.0, 0.9})
    for (double decay : {0.0, 0.1})
      for (bool nesterov : {false, true})
        check_solvers(sgd_registry(), "sgd",
                      [&](const Tensors& p, const Gradients& g, const Tensors& m, const Tensors&, int i) {
                        const TensorPtr numbers = numbers_of(
                            p[0]->shared_stream(), sgd_numbers(0.1, momentum, nesterov ? 0 : 0.25, i == 1));
                        sgd_step(p, g, m, *numbers, momentum, decay, nesterov);
                      });
  check_solvers(adamw_registry(), "adamw",
                [](const Tensors& p, const Gradients& g, const Tensors& m, const Tensors& v, int i) {
                  const TensorPtr numbers =
                      numbers_of(p[0]->shared_stream(), adamw_numbers(0.01, 0.9, 0.999, 0.05, i));
                  adamw_step(p, g, m, v, *numbers, 0.9, 0.999, 1e-8);
                });
  check_guards();
  check_by_hand();
  return test::report();
}
