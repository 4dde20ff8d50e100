// Shows that tests would notice what they are there for: on the emulator, what a test checks of a solver runs
// again with one flaw after another, and has to fail. Each flaw is tried with case after case until one
// notices it.
//
//   must_notice(softmax_registry(), "rows", "barrier exchange launch block thread",
//               {{"a class is left out", [](auto& p, auto&) { --p.count; }}, …});
//
// - Flaws of the machine (emulator/flaws.h): at every place where they can be. A test says what kinds there
//   are, so that it can't show nothing. What never changes a result's bits is passed over.
// - Mistakes: the problem or the buffers as a kernel could misread them.
//
// What is said of one of an operator's solvers has to be said of all that are offered, but cuDNN's.
#pragma once
#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/dispatch.h"
#include "cuda/guarded_stream.h"

namespace groupconv::test {

constexpr const char* kMistaken = "mistaken";
inline std::string subject(const std::string& op, const std::string& solver) { return op + ", " + solver; }

template <class Problem, class Buffers>
struct Mistake {
  std::string what;
  std::function<void(Problem&, Buffers&)> make;
};

#ifdef GROUPCONV_EMULATED

inline const std::shared_ptr<GuardedStream>& cuda_stream();  // testing.h

// Of all results since it was zero: the same for the same bits.
inline uint64_t digest = 0;
inline void witness(const std::vector<float>& values) {
  for (const float value : values) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    digest = (digest ^ bits) * 0x100000001b3u + 1;
  }
}

// How a flaw fared.
struct Tried {
  bool noticed = false;
  int changed = 0, unchanged = 0;  // cases that didn't notice it, and whether their results' bits were others
};
struct Shown {
  std::string expected;
  std::map<emulator::Flaw, Tried> flaws;
  struct Misreading {
    std::string what;
    std::function<void(bool)> set;
    bool noticed = false;
  };
  std::vector<Misreading> mistakes;
};
inline std::map<std::string, Shown>& shown() {
  static std::map<std::string, Shown> all;
  return all;
}

// Whether tensors get their values in reverse: then shared memory holds others when a block begins.
inline bool reversed = false;
template <class T>
std::vector<T> given(std::vector<T> values) {
  if (reversed) std::reverse(values.begin(), values.end());
  return values;
}

// Whether a check fails, of what has a flaw.
template <class Check>
bool fails(const Check& check) {
  int complaints = 0;
  trial = &complaints;
  digest = 0;
  try {
    check();
    cuda_stream()->synchronize();
  } catch (const Error&) {
    ++complaints;
  }
  trial = nullptr;
  emulator::forget_failure();
  try {
    cuda_stream()->synchronize();
  } catch (const Error&) {  // what kernels found wrong with values is told once
  }
  emulator::order = emulator::Order::Forward;
  cuda_stream()->forget_damage();
  return complaints > 0;
}

// Runs a check as it is, and again with what nobody has noticed yet.
template <class Check>
void prove(const std::string& name, const Check& check) {
  const auto found = shown().find(name);
  if (found == shown().end()) return check();
  constexpr int kTries = 5;  // with results that don't change
  digest = 0;
  emulator::note_places();
  check();
  const uint64_t right = digest;
  const std::vector<emulator::Flaw> places = emulator::noted_places();
  for (const emulator::Flaw& flaw : places) {
    Tried& tried = found->second.flaws[flaw];
    if (tried.noticed || tried.unchanged == kTries) continue;
    emulator::set_flaw(flaw);
    // Else who doesn't wait may find what the run before has left: the right values.
    if (flaw.what == emulator::Wrong::Barrier) {
      reversed = true;
      fails(check);
      reversed = false;
    }
    tried.noticed = fails(check);
    emulator::clear_flaw();
    ++(digest == right ? tried.unchanged : tried.changed);
  }
  if (places.empty()) return;
  for (Shown::Misreading& mistake : found->second.mistakes) {
    if (mistake.noticed) continue;
    mistake.set(true);
    mistake.noticed = fails(check);
    mistake.set(false);
  }
}

// Says what has been noticed, at the end.
inline void check_shown() {
  for (const auto& [name, subject] : shown()) {
    bool kinds[std::size(emulator::kWrongs)] = {};
    int noticed = 0, idle = 0;
    for (const auto& [flaw, tried] : subject.flaws) {
      const auto kind = static_cast<size_t>(flaw.what);
      kinds[kind] |= tried.noticed;
      noticed += tried.noticed;
      idle += !tried.noticed && !tried.changed;
      CHECK_NOTE(tried.noticed || !tried.changed, name + ": not noticed: " + emulator::kWrongs[kind]);
    }
    std::string found;
    for (size_t kind = 0; kind < std::size(kinds); ++kind)
      if (kinds[kind]) found.append(found.empty() ? "" : " ").append(emulator::kWrongs[kind]);
    CHECK_NOTE(found == subject.expected, name + ": noticed: " + found);
    for (const Shown::Misreading& mistake : subject.mistakes)
      CHECK_NOTE(mistake.noticed, name + ": not noticed: " + mistake.what);
    std::printf("%s: %d flaws and %zu mistakes noticed, %d flaws without effect\n", name.c_str(), noticed,
                subject.mistakes.size(), idle);
    const std::string op = name.substr(0, name.find(", "));
    for (const AnyRegistry* registry : AnyRegistry::all())
      if (op == registry->op())
        for (const std::string& solver : registry->solver_names(DeviceKind::Cuda))
          CHECK_NOTE(solver == "cudnn" || solver == kMistaken || shown().count(test::subject(op, solver)),
                     "not shown to be noticed: " + test::subject(op, solver));
  }
}

inline void must_notice(const std::string& name, const std::string& flaws) {
  shown()[name].expected = flaws;
  before_report = check_shown;
}

// Stands in for another solver of its operator and gives it what a mistake makes of problem and buffers. It
// is the first of the list, and accepts nothing as long as no mistake is made.
template <class Problem, class Buffers>
struct Mistaken {
  using Any = Solver<Problem, Buffers>;
  static inline Registry<Problem, Buffers>* registry = nullptr;
  static inline std::string real;  // its name
  static inline std::function<void(Problem&, Buffers&)> make;

  static const Any* solver_for(const Problem& p) {
    for (const Any* solver : registry->list(DeviceKind::Cuda))
      if (make && real == solver->name && solver->accepts(p)) return solver;
    return nullptr;
  }
  static constexpr Any solver = {kMistaken, [](const Problem& p) { return solver_for(p) != nullptr; },
                                 [](const Problem& p, const Buffers& b, const ExecutionContext& context) {
                                   Problem problem = p;
                                   Buffers buffers = b;
                                   make(problem, buffers);
                                   solver_for(p)->run(problem, buffers, context);
                                 },
                                 [](const Problem& p) {
                                   const Any* const solver = solver_for(p);
                                   return solver->workspace_bytes ? solver->workspace_bytes(p) : 0;
                                 }};
};

template <class Problem, class Buffers>
void must_notice(Registry<Problem, Buffers>& registry, const std::string& solver, const std::string& flaws,
                 const std::vector<Mistake<Problem, Buffers>>& mistakes = {}) {
  using Stand = Mistaken<Problem, Buffers>;
  must_notice(subject(registry.op(), solver), flaws);
  if (!Stand::registry) {
    CHECK_NOTE(registry.solver_names(DeviceKind::Cuda).empty(), "must_notice comes before all else");
    const void* const list[] = {&Stand::solver};
    registry.adopt(DeviceKind::Cuda, list, 1, sizeof(Problem), sizeof(Buffers));
    Stand::registry = &registry;
  }
  for (const auto& mistake : mistakes)
    shown()[subject(registry.op(), solver)].mistakes.push_back(
        {mistake.what, [&registry, solver, make = mistake.make, forced = std::string()](bool on) mutable {
           Stand::real = solver;
           Stand::make = on ? make : nullptr;
           if (on) forced = registry.forced();
           registry.force(on ? "" : forced);
         }});
}

#else  // A GPU has no flaws at hand, and would fail for good with some.

inline void witness(const std::vector<float>&) {}
template <class T>
const std::vector<T>& given(const std::vector<T>& values) {
  return values;
}
template <class Check>
void prove(const std::string&, const Check& check) {
  check();
}
inline void must_notice(const std::string&, const std::string&) {}
template <class Problem, class Buffers>
void must_notice(Registry<Problem, Buffers>&, const std::string&, const std::string&,
                 const std::vector<Mistake<Problem, Buffers>>& = {}) {}

#endif

}  // namespace groupconv::test
