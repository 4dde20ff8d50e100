#include "ops/add/add.h"
#include "cpu/activate.h"
#include "cpu/context.h"

namespace groupconv {
namespace {

constexpr int64_t kChunk = 4096;  // elements: small enough to balance, large enough to amortise the loop

void run(const AddProblem& p, const AddBuffers& b, const ExecutionContext& context) {
  const Clamp clamp(p.activation);
  parallel_for(context, ceil_div(p.size, kChunk), [&](int64_t chunk) {
    int64_t i = chunk * kChunk;
    const int64_t end = min_of(p.size, i + kChunk);
    for (; i + W <= end; i += W) store(b.y + i, clamp(load(b.a + i) + load(b.b + i)));
    for (; i < end; ++i) b.y[i] = clamp(broadcast(b.a[i] + b.b[i]))[0];
  });
}

constexpr AddSolver solvers[] = {{"vectorised", [](const AddProblem&) { return true; }, run}};

}  // namespace

namespace GROUPCONV_ISA {
extern const AddTable add_solvers = {solvers, 1};
}

}  // namespace groupconv
