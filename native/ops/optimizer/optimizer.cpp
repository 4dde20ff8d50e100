#include "ops/optimizer/optimizer.h"

#include "core/chunks.h"
#include "core/door.h"

namespace groupconv {
namespace {

void check_list(const char* op, const char* name, size_t count, size_t parameters) {
  require(count == parameters, ErrorCode::InvalidArgument, op, ": ", parameters, " parameters, ", count, ' ',
          name);
}

void check_like(const char* op, const char* name, const Tensor& tensor, const Tensor& parameter) {
  require(tensor.shape() == parameter.shape(), ErrorCode::InvalidShape, op, ": ", name, ' ', tensor.shape(),
          " of parameter ", parameter.shape());
  require_float32(op, name, tensor);
}

struct Lists {
  const std::vector<Tensor*>& parameters;
  const std::vector<const Tensor*>& gradients;
  const std::vector<Tensor*>&first, &second;  // empty where there is no such state
};

// Everything is checked before anything is touched.
void check_lists(const char* op, const Lists& lists) {
  check_list(op, "gradients", lists.gradients.size(), lists.parameters.size());
  for (const auto* states : {&lists.first, &lists.second})
    if (!states->empty()) check_list(op, "states", states->size(), lists.parameters.size());
  for (size_t i = 0; i < lists.parameters.size(); ++i) {
    const Tensor& parameter = *lists.parameters[i];
    check_like(op, "parameter", parameter, parameter);
    check_like(op, "gradient", *lists.gradients[i], parameter);
    for (const auto* states : {&lists.first, &lists.second})
      if (!states->empty()) check_like(op, "state", *(*states)[i], parameter);
  }
}

// Row-major memory of every tensor, cut into fixed parts.
std::vector<OptimizerChunk> chunks_of(const Lists& lists) {
  std::vector<OptimizerChunk> chunks;
  for (size_t i = 0; i < lists.parameters.size(); ++i) {
    Tensor& parameter = *lists.parameters[i];
    const auto state = [i](const std::vector<Tensor*>& states) {
      return states.empty() ? nullptr : states[i]->update_in_layout(1);
    };
    const OptimizerChunk whole{parameter.update_in_layout(1), lists.gradients[i]->in_layout(1),
                               state(lists.first), state(lists.second), parameter.size()};
    for_chunks(whole.size, [&](int64_t at, int64_t size) {
      const auto part = [at](auto* memory) { return memory ? memory + at : nullptr; };
      chunks.push_back(
          {part(whole.parameter), part(whole.gradient), part(whole.first), part(whole.second), size});
    });
  }
  return chunks;
}

template <class Problem, class Numbers>
void queue(const Registry<Problem, OptimizerBuffers<Numbers>>& registry, const Problem& problem,
           const Lists& lists, const Tensor& numbers) {
  if (lists.parameters.empty()) return;
  Stream& stream = lists.parameters[0]->stream();
  const auto run = registry.choose(stream.device().kind, problem).run;
  const auto* const memory = reinterpret_cast<const Numbers*>(numbers.in_layout(1));
  stream.submit([run, problem, memory, chunks = chunks_of(lists)](const ExecutionContext& context) {
    run(problem, {chunks.data(), static_cast<int64_t>(chunks.size()), memory}, context);
  });
}

template <class Numbers>
void check_numbers(const char* op, const Tensor& numbers) {
  require_shape(op, "numbers", numbers, {static_cast<int64_t>(sizeof(Numbers) / sizeof(float))});
  require_float32(op, "numbers", numbers);
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const SgdProblem& p) {
  return out << "sgd momentum " << p.momentum << " weight decay " << p.weight_decay
             << (p.nesterov ? " nesterov" : "");
}
std::ostream& operator<<(std::ostream& out, const AdamwProblem& p) {
  return out << "adamw betas " << p.beta1 << ", " << p.beta2 << " eps " << p.eps;
}

Registry<SgdProblem, SgdBuffers>& sgd_registry() {
  static Registry<SgdProblem, SgdBuffers> registry("sgd");
  return registry;
}
Registry<AdamwProblem, AdamwBuffers>& adamw_registry() {
  static Registry<AdamwProblem, AdamwBuffers> registry("adamw");
  return registry;
}

void sgd_step(const std::vector<Tensor*>& parameters, const std::vector<const Tensor*>& gradients,
              const std::vector<Tensor*>& momenta, const Tensor& numbers, double momentum,
              double weight_decay, bool nesterov) {
  const Lists lists{parameters, gradients, momenta, {}};
  if (momentum != 0) check_list("sgd", "momenta", momenta.size(), parameters.size());
  check_lists("sgd", lists);
  check_numbers<SgdNumbers>("sgd", numbers);
  const SgdProblem problem{static_cast<float>(momentum), static_cast<float>(weight_decay), nesterov};
  queue(sgd_registry(), problem, momentum != 0 ? lists : Lists{parameters, gradients, {}, {}}, numbers);
}

void adamw_step(const std::vector<Tensor*>& parameters, const std::vector<const Tensor*>& gradients,
                const std::vector<Tensor*>& first_moments, const std::vector<Tensor*>& second_moments,
                const Tensor& numbers, double beta1, double beta2, double eps) {
  const Lists lists{parameters, gradients, first_moments, second_moments};
  check_list("adamw", "first moments", first_moments.size(), parameters.size());
  check_list("adamw", "second moments", second_moments.size(), parameters.size());
  check_lists("adamw", lists);
  check_numbers<AdamwNumbers>("adamw", numbers);
  const AdamwProblem problem{static_cast<float>(beta1), static_cast<float>(beta2),
                             static_cast<float>(1 - beta1), static_cast<float>(1 - beta2),
                             static_cast<float>(eps)};
  queue(adamw_registry(), problem, lists, numbers);
}

}  // namespace groupconv
