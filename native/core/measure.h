// Times the solvers that accept a problem, on a stream of any device: for autotuning and for benchmarks.
//
// An operator brings its operands: a type that is made of (stream, problem) and has the memory that all
// solvers work on, with `buffers()`, the weight in its plain form and no workspace among them, and
// `plain(device)`, the name of the solver that is never worth its time.
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "core/dispatch.h"
#include "core/dtype.h"

namespace groupconv {

struct Measurement {
  std::string solver;
  std::vector<double> seconds;  // of one run, in ascending order, by the device's clock
};

// Memory of one operand with random values, or none where the pass has no such operand.
class Operand {
 public:
  Operand(Stream& stream, DType dtype, bool used, int64_t elements);
  float* data() const { return static_cast<float*>(space_.data()); }

 private:
  Workspace space_;
};

// In the order of the solver list. `which` is a solver's name (the plain one's, too), "chosen" for the first
// that accepts the problem alone, or "" for all but the plain one.
template <class Operands, class Problem, class Buffers>
SolverList<Problem, Buffers> contenders(const Registry<Problem, Buffers>& registry, DeviceKind device,
                                        const Problem& problem, const std::string& which = "") {
  SolverList<Problem, Buffers> found;
  for (const auto* solver : registry.list(device)) {
    const bool wanted = which == solver->name || (which.empty() && Operands::plain(device) != solver->name) ||
                        (which == "chosen" && found.empty());
    if (wanted && solver->accepts(problem)) found.push_back(solver);
  }
  return found;
}

// Of the contenders, parameters prepared beforehand. Throws OUT_OF_MEMORY.
template <class Operands, class Problem, class Buffers>
std::vector<Measurement> measure(const Registry<Problem, Buffers>& registry, Stream& stream,
                                 const Problem& problem, double budget_seconds,
                                 const std::string& which = "") {
  const Operands operands(stream, problem);
  std::vector<Measurement> rows;
  for (const auto* solver : contenders<Operands>(registry, stream.device().kind, problem, which)) {
    const Workspace prepared(stream, solver->prepare ? solver->prepared_bytes(problem) : 0);
    const Workspace workspace(stream, solver->workspace_bytes ? solver->workspace_bytes(problem) : 0);
    Buffers buffers = operands.buffers();
    buffers.workspace = workspace.data();
    if (solver->prepare) {
      auto* const target = static_cast<float*>(prepared.data());
      stream.submit([prepare = solver->prepare, problem, from = buffers.weight,
                     target](const ExecutionContext& context) { prepare(problem, from, target, context); });
      buffers.weight = target;
    }
    std::vector<double> seconds = stream.time(
        [&](const ExecutionContext& context) { solver->run(problem, buffers, context); }, budget_seconds);
    if (!seconds.empty()) rows.push_back({solver->name, std::move(seconds)});
  }
  return rows;
}

// For Registry::tune_with.
template <class Operands, class Problem, class Buffers>
std::string fastest(const Registry<Problem, Buffers>& registry, Stream& stream, const Problem& problem) {
  constexpr double kSeconds = 0.01;  // for each solver; the differences that matter are large
  const DeviceKind device = stream.device().kind;
  if (contenders<Operands>(registry, device, problem).size() < 2)
    return registry.choose(device, problem).name;
  const std::vector<Measurement> rows = measure<Operands>(registry, stream, problem, kSeconds);
  const auto quicker = [](const auto& a, const auto& b) { return a.seconds.front() < b.seconds.front(); };
  return rows.empty() ? "" : std::min_element(rows.begin(), rows.end(), quicker)->solver;
}

}  // namespace groupconv
