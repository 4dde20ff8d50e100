// The native tests' loop over instruction sets and thread counts.
#pragma once
#include <string>
#include <vector>

#include "core/check.h"
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
