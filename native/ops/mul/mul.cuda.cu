#include "cuda/elementwise.h"
#include "cuda/offer.h"
#include "ops/mul/mul.h"

namespace groupconv::cuda {
namespace {

struct Product {
  __device__ __forceinline__ float operator()(float a, float b) const { return a * b; }
};

void elements(const MulProblem& p, const MulBuffers& b, const ExecutionContext& context) {
  queue_elements(context, p.dtype, Product(), p.accumulate, p.broadcast.size(), b.a, b.b, b.y);
}
void channels(const MulProblem& p, const MulBuffers& b, const ExecutionContext& context) {
  queue_channels(context, p.dtype, Product(), p.accumulate, p.broadcast, b.a, b.b, b.y);
}

constexpr MulSolver solvers[] = {
    {"packs", [](const MulProblem& p) { return p.broadcast.is_plain(); }, elements},
    {"channels", [](const MulProblem& p) { return fits_channels(p.broadcast); }, channels},
};
const bool offered = offer<MulProblem, MulBuffers>("mul", {{solvers, 2}});

}  // namespace
}  // namespace groupconv::cuda
