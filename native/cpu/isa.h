// Instruction sets: what this build holds, what this processor has, which one is in use.
//
// Every `*.simd.cpp` is compiled once per instruction set into a namespace of that name (GROUPCONV_ISA) and
// exports tables; GROUPCONV_PER_ISA collects them. The set in use fixes the activation layout, so it is
// chosen once, at the first use: GROUPCONV_ISA=baseline|avx2|avx512|neon forces one.
#pragma once
#include <map>
#include <vector>

namespace groupconv {

enum class Isa { Baseline, Avx2, Avx512, Neon };

const char* isa_name(Isa isa);
int simd_width(Isa isa);            // float32 lanes: 4, 8, 16, 4
std::vector<Isa> available_isas();  // built and supported here, narrowest first
// Throws INVALID_ARGUMENT when the environment names an unknown or unavailable set.
Isa active_isa();
// For tests: tensors made under another set are no longer valid.
void force_isa(Isa isa);

// make(isa) for every available set, made once per call site; returns the active set's.
template <class Make>
const auto& for_active_isa(Make make) {
  static const auto values = [&] {
    std::map<Isa, decltype(make(Isa::Baseline))> made;
    for (Isa isa : available_isas()) made.emplace(isa, make(isa));
    return made;
  }();
  return values.at(active_isa());
}

}  // namespace groupconv

// What this build holds: one set (a sanitizer's build, other processors), or x86-64's three.
#if !defined(GROUPCONV_ONLY_ISA) && defined(__aarch64__)
#define GROUPCONV_ONLY_ISA neon
#elif !defined(GROUPCONV_ONLY_ISA) && !defined(__x86_64__)
#define GROUPCONV_ONLY_ISA baseline
#endif

// Declares <isa>::name for every built set and defines name_for(Isa). Used inside namespace groupconv.
#if defined(GROUPCONV_ONLY_ISA)
#define GROUPCONV_PER_ISA(Type, name) \
  namespace GROUPCONV_ONLY_ISA {      \
  extern const Type name;             \
  }                                   \
  static inline const Type& name##_for(Isa) { return GROUPCONV_ONLY_ISA::name; }
#else
#define GROUPCONV_PER_ISA(Type, name)                                                          \
  namespace baseline {                                                                         \
  extern const Type name;                                                                      \
  }                                                                                            \
  namespace avx2 {                                                                             \
  extern const Type name;                                                                      \
  }                                                                                            \
  namespace avx512 {                                                                           \
  extern const Type name;                                                                      \
  }                                                                                            \
  static inline const Type& name##_for(Isa isa) {                                              \
    return isa == Isa::Avx512 ? avx512::name : isa == Isa::Avx2 ? avx2::name : baseline::name; \
  }
#endif
