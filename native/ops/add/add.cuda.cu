#include "cuda/activate.h"
#include "cuda/elementwise.h"
#include "cuda/offer.h"
#include "ops/add/add.h"

namespace groupconv::cuda {
namespace {

struct ActivatedSum {
  Activation activation;
  __device__ __forceinline__ float operator()(float a, float b) const { return activate(activation, a + b); }
};

void elements(const AddProblem& p, const AddBuffers& b, const ExecutionContext& context) {
  queue_elements(context, p.dtype, ActivatedSum{p.activation}, false, p.broadcast.size(), b.a, b.b, b.y);
}
void channels(const AddProblem& p, const AddBuffers& b, const ExecutionContext& context) {
  queue_channels(context, p.dtype, ActivatedSum{p.activation}, false, p.broadcast, b.a, b.b, b.y);
}

constexpr AddSolver solvers[] = {
    {"packs", [](const AddProblem& p) { return p.broadcast.is_plain(); }, elements},
    {"channels", [](const AddProblem& p) { return fits_channels(p.broadcast); }, channels},
};
const bool offered = offer<AddProblem, AddBuffers>("add", {{solvers, 2}});

}  // namespace
}  // namespace groupconv::cuda
