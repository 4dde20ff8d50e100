// What the stand-in's engines compute: a graph's operations one after the other, naively.
#pragma once
#include <map>

#include "cuda/emulator/cudnn/descriptors.h"

namespace standin {

// The ways in which an engine is less exact than float32.
struct Exactness {
  bool tf32 = false;         // factors are rounded to 11 bits
  bool narrow_sums = false;  // sums are bfloat16
  bool perturbed = false;    // off in the last digits, as sums in another order are
};

// `addresses` by the tensors' numbers.
void compute(const Descriptor& graph, const std::map<int64_t, void*>& addresses, const Exactness& exactness);

}  // namespace standin
