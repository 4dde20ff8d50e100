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
    owned.push_back(std::make_shared<Tensor>(stream, kShapes[i], DType::Float32));  // no memory yet
    first.push_back(owned.back().get());
    owned.push_back(std::make_shared<Tensor>(stream, kShapes[i], DType::Float32));
    second.push_back(owned.back().get());
  }
  for (int i = 1; i <= 3; ++i) step(parameters, gradients, first, second, i);
  std::erase_if(owned, [](const TensorPtr& tensor) { return !tensor->has_memory(); });
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
      for (bool fresh : {false, true}) {
        for (float momentum : {0.0f, 0.9f}) {
          const SgdProblem p{0.1f, momentum, 0.01f, 1, true, fresh};
          for (const SgdSolver* solver : sgd_registry().list(DeviceKind::Cpu))
            if (solver->accepts(p)) solver->run(p, {&chunk, 1}, CpuContext(1));
        }
        const AdamwProblem p{0.99f, 0.9f, 0.99f, 0.1f, 0.01f, 0.1f, 1, 1e-8f, fresh};
        for (const AdamwSolver* solver : adamw_registry().list(DeviceKind::Cpu))
          if (solver->accepts(p)) solver->run(p, {&chunk, 1}, CpuContext(1));
      }
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
  const TensorPtr p = scalar(1), g = scalar(0.5f), m = scalar(NAN), v = scalar(NAN);
  sgd_step({p.get()}, {g.get()}, {m.get()}, 0.1, 0.9, 0.5, 0.2, false, true);
  CHECK(std::fabs(value(p) - 0.93f) < 1e-7);  // g = 0.5 + 0.2 = 0.7; no dampening the first time
  sgd_step({p.get()}, {g.get()}, {m.get()}, 0.1, 0.9, 0.5, 0.2, false, false);
  CHECK(std::fabs(value(p) - (0.93 - 0.1 * (0.63 + 0.5 * 0.686))) < 1e-7);
  *p->update_in_layout(1) = 1;
  adamw_step({p.get()}, {g.get()}, {m.get()}, {v.get()}, 0.1, 0.9, 0.999, 1e-8, 0.01, 1);
  CHECK(std::fabs(value(p) - (0.999 - 0.1)) < 1e-6);  // the first step is lr in size, whatever the gradient
  CHECK(std::fabs(value(m) - 0.05f) < 1e-8 && std::fabs(value(v) - 0.00025f) < 1e-10);
  const uint64_t version = p->version();
  sgd_step({p.get()}, {g.get()}, {}, 0.1, 0, 0, 0, false, true);
  CHECK(p->version() > version && std::fabs(value(p) - (0.899 - 0.05)) < 1e-6);
  for (const auto& call : std::vector<std::function<void()>>{
           [&] { sgd_step({p.get()}, {}, {}, 0.1, 0, 0, 0, false, true); },
           [&] { sgd_step({p.get()}, {g.get()}, {}, 0.1, 0.9, 0, 0, false, true); },
           [&] { adamw_step({p.get()}, {g.get()}, {m.get()}, {v.get()}, 0.1, 0.9, 0.999, 1e-8, 0, 0); }})
    check_throws(ErrorCode::InvalidArgument, "", call);
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
                        sgd_step(p, g, m, 0.1, momentum, nesterov ? 0 : 0.25, decay, nesterov, i == 1);
                      });
  check_solvers(adamw_registry(), "adamw",
                [](const Tensors& p, const Gradients& g, const Tensors& m, const Tensors& v, int i) {
                  adamw_step(p, g, m, v, 0.01, 0.9, 0.999, 1e-8, 0.05, i);
                });
  check_guards();
  check_by_hand();
  return test::report();
}
