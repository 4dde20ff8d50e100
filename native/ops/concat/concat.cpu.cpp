// The CPU's solver list for concat, and its plain reference: element by element.
#include "ops/concat/concat.h"
#include "cpu/offer.h"

namespace groupconv {

GROUPCONV_PER_ISA(ConcatTable, concat_solvers)

namespace {

// Offset of an element in [outer, extent / block, inner, block].
int64_t at(int64_t o, int64_t c, int64_t i, int64_t extent, int64_t inner, int64_t block) {
  const int64_t blocks = (extent + block - 1) / block;
  return ((o * blocks + c / block) * inner + i) * block + c % block;
}

void reference(const ConcatProblem& p, const ConcatBuffers& b, const ExecutionContext&) {
  const int64_t padded = (p.to_extent + p.to_block - 1) / p.to_block * p.to_block, end = p.to_begin + p.count;
  for (int64_t o = 0; o < p.outer; ++o)
    for (int64_t c = 0; c < padded; ++c)
      for (int64_t i = 0; i < p.inner; ++i) {
        float& to = b.to[at(o, c, i, p.to_extent, p.inner, p.to_block)];
        if (c >= p.to_begin && c < end) {
          const float from =
              b.from[at(o, c - p.to_begin + p.from_begin, i, p.from_extent, p.inner, p.from_block)];
          to = p.accumulate ? to + from : from;
        } else if (p.clear || (c >= p.to_extent && end == p.to_extent)) {
          to = 0;
        }
      }
}

constexpr ConcatSolver references[] = {{"reference", [](const ConcatProblem&) { return true; }, reference}};

const bool offered = offer<concat_registry, references, concat_solvers_for>();

}  // namespace
}  // namespace groupconv
