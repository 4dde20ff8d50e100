#include "cuda/gpu_code.h"

#include <cstdlib>
#include <sstream>

namespace groupconv::cuda {
namespace {

bool one_runs_on(const std::string& name, int capability) {
  const bool is_ptx = name.rfind("compute_", 0) == 0;
  const char* const number = name.c_str() + (is_ptx ? sizeof "compute_" : sizeof "sm_") - 1;
  const int made_for = std::atoi(number);
  const char suffix = name.back();
  if (suffix == 'a') return capability == made_for;
  if (is_ptx && suffix != 'f') return capability >= made_for;
  return capability / 10 == made_for / 10 && capability >= made_for;
}

}  // namespace

bool runs_on(const std::string& names, int capability) {
  std::istringstream words(names);
  for (std::string name; words >> name;)
    if (one_runs_on(name, capability)) return true;
  return false;
}

}  // namespace groupconv::cuda
