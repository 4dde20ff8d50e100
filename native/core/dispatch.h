// From a checked problem to queued work: the registry of an operator's solver lists, choosing, and
// enqueueing.
#pragma once
#include <array>
#include <cstring>
#include <initializer_list>
#include <string>
#include <type_traits>
#include <vector>

#include "core/error.h"
#include "core/solver.h"
#include "core/stream.h"
#include "core/tuning.h"

namespace groupconv {

template <class Problem, class Buffers>
using SolverList = std::vector<const Solver<Problem, Buffers>*>;

template <class Problem, class Buffers>
SolverList<Problem, Buffers> join(std::initializer_list<SolverTable<Problem, Buffers>> tables) {
  SolverList<Problem, Buffers> list;
  for (const auto& table : tables)
    for (int i = 0; i < table.count; ++i) list.push_back(table.first + i);
  return list;
}

// What tests, benchmarks and bindings can ask of any operator without knowing its types.
class AnyRegistry {
 public:
  explicit AnyRegistry(const char* op);
  AnyRegistry(const AnyRegistry&) = delete;
  virtual ~AnyRegistry() = default;
  const char* op() const { return op_; }
  virtual std::vector<std::string> solver_names(DeviceKind device) const = 0;
  // Whether a saved choice can name this solver.
  virtual bool may_choose(const std::string& solver) const;
  // Takes a device's list from a library that was opened at run time. INVALID_ARGUMENT where the sizes say
  // that it was built from other headers.
  virtual void adopt(DeviceKind device, const void* const* solvers, int count, size_t problem_bytes,
                     size_t buffers_bytes) = 0;
  // Empty: choose freely. A name that no list has is an INVALID_ARGUMENT.
  void force(const std::string& solver);
  const std::string& forced() const { return forced_; }
  static AnyRegistry& find(const std::string& op);
  static const std::vector<AnyRegistry*>& all();
  TuningTable tuning;

 private:
  const char* op_;
  std::string forced_;
};

// One operator's lists. A device registers a function that returns its list, which may differ per instruction
// set.
template <class Problem, class Buffers>
class Registry final : public AnyRegistry {
 public:
  using List = SolverList<Problem, Buffers>;
  using ListFunction = const List& (*)();
  using AnyRegistry::AnyRegistry;

  bool add(DeviceKind device, ListFunction list) {
    lists_[static_cast<size_t>(device)] = list;
    return true;
  }
  void adopt(DeviceKind device, const void* const* solvers, int count, size_t problem_bytes,
             size_t buffers_bytes) override {
    require(problem_bytes == sizeof(Problem) && buffers_bytes == sizeof(Buffers), ErrorCode::InvalidArgument,
            op(), ": the library's problem has ", problem_bytes, " bytes, the addon's ", sizeof(Problem));
    List& list = adopted_[static_cast<size_t>(device)];
    for (int i = 0; i < count; ++i) list.push_back(static_cast<const Solver<Problem, Buffers>*>(solvers[i]));
  }
  const List& list(DeviceKind device) const {
    const List& adopted = adopted_[static_cast<size_t>(device)];
    if (!adopted.empty()) return adopted;
    const ListFunction list = lists_[static_cast<size_t>(device)];
    require(list, ErrorCode::Unsupported, op(), ": not built for this device");
    return list();
  }
  std::vector<std::string> solver_names(DeviceKind device) const override {
    std::vector<std::string> names;
    if (lists_[static_cast<size_t>(device)] || !adopted_[static_cast<size_t>(device)].empty())
      for (const auto* solver : list(device)) names.push_back(solver->name);
    return names;
  }
  // Names the fastest of the solvers that accept a problem, by timing them on an idle stream; empty where an
  // earlier failure is still to be told, and nothing could run. Throws where they can't be timed.
  using Measure = std::string (*)(Stream&, const Problem&);
  bool tune_with(DeviceKind device, Measure measure) {
    measures_[static_cast<size_t>(device)] = measure;
    return true;
  }
  // The first that accepts, or the forced one. Solvers of one name (passes, shapes) form a family.
  const Solver<Problem, Buffers>& choose(DeviceKind device, const Problem& problem) const {
    for (const auto* solver : list(device))
      if ((forced().empty() || forced() == solver->name) && solver->accepts(problem)) return *solver;
    fail(ErrorCode::Unsupported, op(), ": no solver ", forced(), " accepts ", problem);
  }
  // The fastest, where it is known or may be measured now.
  const Solver<Problem, Buffers>& choose(Stream& stream, const Problem& problem) {
    const DeviceKind device = stream.device().kind;
    if (forced().empty() && (autotune_enabled || !tuning.empty())) {
      const std::string fastest = tuned(stream, problem);
      for (const auto* solver : list(device))
        if (fastest == solver->name && solver->accepts(problem)) return *solver;
    }
    return choose(device, problem);
  }

 private:
  std::string tuned(Stream& stream, const Problem& problem) {
    static_assert(sizeof(Problem) % sizeof(int32_t) == 0 && std::has_unique_object_representations_v<Problem>,
                  "a problem is made of 32-bit fields");
    TunedChoice choice{stream.place(), std::vector<int32_t>(sizeof(Problem) / sizeof(int32_t)), ""};
    std::memcpy(choice.problem.data(), &problem, sizeof(Problem));
    choice.solver = tuning.find(choice.place, choice.problem);
    const Measure measure = measures_[static_cast<size_t>(stream.device().kind)];
    if (!choice.solver.empty() || !autotune_enabled || !measure) return choice.solver;
    if (tuning.is_given_up(choice.place, choice.problem)) return "";
    const PausedRecording paused(stream);
    stream.drain();
    try {
      choice.solver = measure(stream, problem);
    } catch (const Error&) {  // no memory: each call would try again. What else fails will fail in the open
      tuning.give_up(choice.place, choice.problem);
    }
    if (!choice.solver.empty()) tuning.put(choice);
    return choice.solver;
  }

  std::array<ListFunction, 2> lists_{};
  std::array<List, 2> adopted_{};
  std::array<Measure, 2> measures_{};
};

// Queues one solver's run. `buffers.workspace` is filled in here.
template <class Problem, class Buffers>
void enqueue(Stream& stream, const Solver<Problem, Buffers>& solver, const Problem& problem,
             Buffers buffers) {
  const Workspace workspace(stream, solver.workspace_bytes ? solver.workspace_bytes(problem) : 0);
  buffers.workspace = workspace.data();
  stream.submit([run = solver.run, problem, buffers](const ExecutionContext& context) {
    run(problem, buffers, context);
  });
}
// The first solver of the stream's device that accepts.
template <class Problem, class Buffers>
void enqueue(Stream& stream, const Registry<Problem, Buffers>& registry, const Problem& problem,
             const Buffers& buffers) {
  enqueue(stream, registry.choose(stream.device().kind, problem), problem, buffers);
}

}  // namespace groupconv
