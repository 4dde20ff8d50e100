#include "ops/mul/mul.h"
#include "cpu/elementwise.h"

namespace groupconv {
namespace {

struct Product {
  GROUPCONV_INLINE Vec operator()(Vec a, Vec b) const { return a * b; }
};

template <bool Accumulate>
void elements(const MulProblem& p, const MulBuffers& b, const ExecutionContext& context) {
  combine_elements<Accumulate>(context, p.broadcast.size(), b.a, b.b, b.y, Product());
}

template <bool Accumulate>
void channels(const MulProblem& p, const MulBuffers& b, const ExecutionContext& context) {
  combine_channels<Accumulate>(context, p.broadcast, b.a, b.b, b.y, Product());
}

bool is_plain(const MulProblem& p) { return p.broadcast.is_plain(); }

constexpr MulSolver solvers[] = {
    {"vectorised", [](const MulProblem& p) { return is_plain(p) && !p.accumulate; }, elements<false>},
    {"vectorised", is_plain, elements<true>},
    {"vectorised", [](const MulProblem& p) { return has_steady_planes(p.broadcast) && !p.accumulate; },
     channels<false>},
    {"vectorised", [](const MulProblem& p) { return has_steady_planes(p.broadcast) && p.accumulate; },
     channels<true>},
};

}  // namespace

namespace GROUPCONV_ISA {
extern const MulTable mul_solvers = {solvers, 4};
}

}  // namespace groupconv
