#include "ops/add/add.h"
#include "cpu/activate.h"
#include "cpu/elementwise.h"

namespace groupconv {
namespace {

struct ClampedSum {
  GROUPCONV_INLINE Vec operator()(Vec a, Vec b) const { return clamp(a + b); }
  Clamp clamp;
};

void elements(const AddProblem& p, const AddBuffers& b, const ExecutionContext& context) {
  combine_elements<false>(context, p.broadcast.size(), b.a, b.b, b.y, ClampedSum{Clamp(p.activation)});
}

void channels(const AddProblem& p, const AddBuffers& b, const ExecutionContext& context) {
  combine_channels<false>(context, p.broadcast, b.a, b.b, b.y, ClampedSum{Clamp(p.activation)});
}

constexpr AddSolver solvers[] = {
    {"vectorised", [](const AddProblem& p) { return p.broadcast.is_plain(); }, elements},
    {"vectorised", [](const AddProblem& p) { return has_steady_planes(p.broadcast); }, channels},
};

}  // namespace

namespace GROUPCONV_ISA {
extern const AddTable add_solvers = {solvers, 2};
}

}  // namespace groupconv
