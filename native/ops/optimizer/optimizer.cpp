#include "ops/optimizer/optimizer.h"

#include <cmath>

#include "core/chunks.h"

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

// Row-major memory of every tensor, cut into fixed parts. `fresh`: the states hold nothing yet.
std::vector<OptimizerChunk> chunks_of(const Lists& lists, bool fresh) {
  const GradMode mode = fresh ? GradMode::Overwrite : GradMode::Accumulate;
  std::vector<OptimizerChunk> chunks;
  for (size_t i = 0; i < lists.parameters.size(); ++i) {
    Tensor& parameter = *lists.parameters[i];
    const OptimizerChunk whole{parameter.update_in_layout(1), lists.gradients[i]->in_layout(1),
                               lists.first.empty() ? nullptr : lists.first[i]->target_in_layout(1, mode),
                               lists.second.empty() ? nullptr : lists.second[i]->target_in_layout(1, mode),
                               parameter.size()};
    for_chunks(whole.size, [&](int64_t at, int64_t size) {
      const auto part = [at](auto* memory) { return memory ? memory + at : nullptr; };
      chunks.push_back(
          {part(whole.parameter), part(whole.gradient), part(whole.first), part(whole.second), size});
    });
  }
  return chunks;
}

template <class Problem>
void queue(const Registry<Problem, OptimizerBuffers>& registry, const Problem& problem, const Lists& lists,
           bool fresh) {
  if (lists.parameters.empty()) return;
  Stream& stream = lists.parameters[0]->stream();
  const auto run = registry.choose(stream.device().kind, problem).run;
  stream.submit([run, problem, chunks = chunks_of(lists, fresh)](const ExecutionContext& context) {
    run(problem, {chunks.data(), static_cast<int64_t>(chunks.size())}, context);
  });
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const SgdProblem& p) {
  return out << "sgd lr " << p.lr << " momentum " << p.momentum << " weight decay " << p.weight_decay
             << (p.nesterov ? " nesterov" : "") << (p.first ? " first" : "");
}
std::ostream& operator<<(std::ostream& out, const AdamwProblem& p) {
  return out << "adamw step size " << p.step_size << (p.first ? " first" : "");
}

Registry<SgdProblem, OptimizerBuffers>& sgd_registry() {
  static Registry<SgdProblem, OptimizerBuffers> registry("sgd");
  return registry;
}
Registry<AdamwProblem, OptimizerBuffers>& adamw_registry() {
  static Registry<AdamwProblem, OptimizerBuffers> registry("adamw");
  return registry;
}

void sgd_step(const std::vector<Tensor*>& parameters, const std::vector<const Tensor*>& gradients,
              const std::vector<Tensor*>& momenta, double lr, double momentum, double dampening,
              double weight_decay, bool nesterov, bool first) {
  const Lists lists{parameters, gradients, momenta, {}};
  if (momentum != 0) check_list("sgd", "momenta", momenta.size(), parameters.size());
  check_lists("sgd", lists);
  const SgdProblem problem{static_cast<float>(lr),
                           static_cast<float>(momentum),
                           static_cast<float>(weight_decay),
                           static_cast<float>(1 - dampening),
                           nesterov,
                           first};
  queue(sgd_registry(), problem, momentum != 0 ? lists : Lists{parameters, gradients, {}, {}}, first);
}

void adamw_step(const std::vector<Tensor*>& parameters, const std::vector<const Tensor*>& gradients,
                const std::vector<Tensor*>& first_moments, const std::vector<Tensor*>& second_moments,
                double lr, double beta1, double beta2, double eps, double weight_decay, int64_t step) {
  const Lists lists{parameters, gradients, first_moments, second_moments};
  check_list("adamw", "first moments", first_moments.size(), parameters.size());
  check_list("adamw", "second moments", second_moments.size(), parameters.size());
  require(step >= 1, ErrorCode::InvalidArgument, "adamw: steps count from 1, found ", step);
  check_lists("adamw", lists);
  const double correction1 = 1 - std::pow(beta1, static_cast<double>(step));
  const double correction2 = 1 - std::pow(beta2, static_cast<double>(step));
  const AdamwProblem problem{static_cast<float>(1 - lr * weight_decay),
                             static_cast<float>(beta1),
                             static_cast<float>(beta2),
                             static_cast<float>(1 - beta1),
                             static_cast<float>(1 - beta2),
                             static_cast<float>(lr / correction1),
                             static_cast<float>(std::sqrt(correction2)),
                             static_cast<float>(eps),
                             step == 1};
  queue(adamw_registry(), problem, lists, problem.first);
}

}  // namespace groupconv
