// The native tests' tools: CHECK counts, report() prints the line CTest and CI read and gives main's exit
// status.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "core/error.h"

namespace groupconv::test {

inline int passed = 0, failed = 0;
// While it is set, failed checks are counted there and not told: of what is broken on purpose.
inline int* trial = nullptr;
// What is left to check when all else is done.
inline void (*before_report)() = nullptr;

inline void check(bool holds, const char* text, const char* file, int line, const std::string& note = "") {
  if (trial) {
    *trial += !holds;
    return;
  }
  if (holds) {
    ++passed;
    return;
  }
  ++failed;
  std::printf("%s:%d: CHECK(%s) failed%s%s\n", file, line, text, note.empty() ? "" : ": ", note.c_str());
}

inline int report() {
  if (before_report) before_report();
  std::printf("%d checks passed, %d checks failed\n", passed, failed);
  return failed ? 1 : 0;
}

// One check: call() throws an Error of this code whose message contains `part`.
template <class Call>
void check_throws(ErrorCode code, const std::string& part, const Call& call) {
  try {
    call();
    check(false, "throws", part.c_str(), 0);
  } catch (const Error& error) {
    check(error.code() == code && error.message().find(part) != std::string::npos, "throws", part.c_str(), 0,
          error.message());
  }
}

// The generator of test/golden: value i of tensor `seed`, in [-1, 1).
inline float hashed(uint32_t seed, uint32_t i) {
  uint32_t z = seed * 0x9E3779B1u + i;
  z = (z ^ (z >> 16)) * 0x21f0aaadu;
  z = (z ^ (z >> 15)) * 0x735a2d97u;
  z ^= z >> 15;
  return static_cast<float>(z / 2147483648.0 - 1);
}
inline std::vector<float> hashed_values(uint32_t seed, size_t size) {
  std::vector<float> values(size);
  for (size_t i = 0; i < size; ++i) values[i] = hashed(seed, static_cast<uint32_t>(i));
  return values;
}

// ||a - b|| / ||b|| in the Euclidean norm; infinite when a value is not finite.
inline double relative_error(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    if (!std::isfinite(a[i])) return INFINITY;
    difference += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
    norm += double{b[i]} * b[i];
  }
  return norm > 0 ? std::sqrt(difference / norm) : std::sqrt(difference);
}

}  // namespace groupconv::test

#define CHECK(...) ::groupconv::test::check((__VA_ARGS__), #__VA_ARGS__, __FILE__, __LINE__)
#define CHECK_NOTE(holds, note) ::groupconv::test::check((holds), #holds, __FILE__, __LINE__, (note))
