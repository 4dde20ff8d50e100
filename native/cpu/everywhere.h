// The native tests' loop over instruction sets and thread counts.
#pragma once
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/dispatch.h"
#include "cpu/guarded.h"
#include "cpu/isa.h"
#include "cpu/pool.h"

namespace groupconv::test {

// run() gives the values of one case: on every instruction set within `tolerance` of `expected` (in the
// Euclidean norm), and bitwise the same for 1, 2 and 3 threads. inspect(actual, note) may look further.
template <class Run, class Inspect>
void check_everywhere(const std::vector<float>& expected, double tolerance, const std::string& what,
                      const Run& run, const Inspect& inspect) {
  for (Isa isa : available_isas()) {
    force_isa(isa);
    std::vector<float> first;
    for (int threads : {1, 2, 3}) {
      set_thread_count(threads);
      const std::string note = what + ' ' + isa_name(isa) + " x" + std::to_string(threads);
      const std::vector<float> actual = run();
      CHECK_NOTE(relative_error(actual, expected) <= tolerance, note);
      inspect(actual, note);
      if (threads == 1)
        first = actual;
      else
        CHECK_NOTE(same_bits(first, actual), "bitwise " + note);
    }
  }
}
template <class Run>
void check_everywhere(const std::vector<float>& expected, double tolerance, const std::string& what,
                      const Run& run) {
  check_everywhere(expected, tolerance, what, run, [](const std::vector<float>&, const std::string&) {});
}

template <class Problem, class Buffers>
std::string describe(const Solver<Problem, Buffers>& solver, const Problem& p, Isa isa, int threads) {
  std::ostringstream text;
  text << solver.name << ' ' << isa_name(isa) << " x" << threads << ' ' << p;
  return text.str();
}

template <class Problem, class Buffers>
const Solver<Problem, Buffers>& reference_of(const Registry<Problem, Buffers>& registry, const Problem& p) {
  for (const auto* solver : registry.list(DeviceKind::Cpu))
    if (!std::strcmp(solver->name, "reference") && solver->accepts(p)) return *solver;
  fail(ErrorCode::Unsupported, "no reference for ", p);
}

// run(solver, threads, note) gives the values of a problem, of every solver that accepts it on the
// instruction set in use: bitwise the same for 1, 2 and 3 threads. inspect(values, note) looks further.
template <class Problem, class Buffers, class Run, class Inspect>
void check_solvers(const Registry<Problem, Buffers>& registry, const Problem& p, Isa isa, const Run& run,
                   const Inspect& inspect) {
  for (const auto* solver : registry.list(DeviceKind::Cpu)) {
    if (!solver->accepts(p)) continue;
    std::vector<float> first;
    for (int threads : {1, 2, 3}) {
      const std::string note = describe(*solver, p, isa, threads);
      const std::vector<float> actual = run(*solver, threads, note);
      inspect(actual, note);
      if (threads == 1)
        first = actual;
      else
        CHECK_NOTE(same_bits(first, actual), "bitwise " + note);
    }
  }
}

// Some tensors' values, one after the other, in row-major order.
inline std::vector<float> values_of(const std::vector<TensorPtr>& tensors) {
  std::vector<float> all;
  for (const TensorPtr& tensor : tensors) {
    const std::vector<float> values = values_of(*tensor);
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

}  // namespace groupconv::test
