#include "cpu/isa.h"

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "core/error.h"

namespace groupconv {
namespace {

constexpr Isa kEvery[] = {Isa::Baseline, Isa::Avx2, Isa::Avx512, Isa::Neon};

#define GROUPCONV_TEXT_OF(token) #token
#define GROUPCONV_TEXT(macro) GROUPCONV_TEXT_OF(macro)

bool built(Isa isa) {
#if defined(GROUPCONV_ONLY_ISA)
  return !std::strcmp(isa_name(isa), GROUPCONV_TEXT(GROUPCONV_ONLY_ISA));
#else
  return isa != Isa::Neon;
#endif
}

bool in_processor(Isa isa) {
#if defined(__x86_64__)
  __builtin_cpu_init();  // also checks that the operating system saves the wide registers
  switch (isa) {
    case Isa::Baseline:
      return true;
    case Isa::Avx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case Isa::Avx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    case Isa::Neon:
      return false;
  }
  return false;
#elif defined(__aarch64__)
  return isa == Isa::Neon;
#else
  return isa == Isa::Baseline;
#endif
}

Isa from_environment() {
  const std::vector<Isa> here = available_isas();
  const char* wanted = std::getenv("GROUPCONV_ISA");
  if (!wanted || !*wanted) return here.back();
  std::string names;
  for (Isa isa : here) {
    if (!std::strcmp(wanted, isa_name(isa))) return isa;
    names += std::string(names.empty() ? "" : ", ") + isa_name(isa);
  }
  fail(ErrorCode::InvalidArgument, "GROUPCONV_ISA=", wanted, ": this build and processor have ", names);
}

bool supported(Isa isa) { return built(isa) && in_processor(isa); }

std::atomic<int> chosen{-1};

}  // namespace

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::Baseline:
      return "baseline";
    case Isa::Avx2:
      return "avx2";
    case Isa::Avx512:
      return "avx512";
    case Isa::Neon:
      return "neon";
  }
  return "?";
}

int simd_width(Isa isa) { return isa == Isa::Avx512 ? 16 : isa == Isa::Avx2 ? 8 : 4; }

std::vector<Isa> available_isas() {
  std::vector<Isa> here;
  for (Isa isa : kEvery)
    if (supported(isa)) here.push_back(isa);
  return here;
}

Isa active_isa() {
  int isa = chosen.load(std::memory_order_relaxed);
  if (isa < 0) {
    isa = static_cast<int>(from_environment());
    chosen.store(isa, std::memory_order_relaxed);
  }
  return static_cast<Isa>(isa);
}

void force_isa(Isa isa) {
  require(supported(isa), ErrorCode::InvalidArgument, "force_isa: no ", isa_name(isa), " here");
  chosen.store(static_cast<int>(isa), std::memory_order_relaxed);
}

}  // namespace groupconv
