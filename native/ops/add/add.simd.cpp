#include "ops/add/add.h"
#include "cpu/context.h"
#include "cpu/simd.h"

namespace groupconv {
namespace {

constexpr int64_t kChunk = 4096;  // elements: small enough to balance, large enough to amortise the loop

void run(const AddProblem& p, const AddBuffers& b, const ExecutionContext& context) {
  const float infinity = __builtin_inff();
  const Vec bottom = broadcast(p.activation == Activation::None ? -infinity : 0.0f);
  const Vec top = broadcast(p.activation == Activation::Relu6 ? 6.0f : infinity);
  const auto clamp = [&](Vec v) { return v < bottom ? bottom : v > top ? top : v; };  // NaN stays NaN
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
