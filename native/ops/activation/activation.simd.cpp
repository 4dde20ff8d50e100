#include "ops/activation/activation.h"
#include "cpu/activate.h"
#include "cpu/context.h"

namespace groupconv {
namespace {

constexpr int64_t kChunk = 4096;  // elements: small enough to balance, large enough to amortise the loop

// Calls body(first, end) for chunks of [0, size) on all threads.
template <class Body>
void for_chunks(const ExecutionContext& context, int64_t size, const Body& body) {
  parallel_for(context, ceil_div(size, kChunk),
               [&](int64_t chunk) { body(chunk * kChunk, min_of(size, (chunk + 1) * kChunk)); });
}

void forward(const ActivationProblem& p, const ActivationBuffers& b, const ExecutionContext& context) {
  const Clamp clamp(p.kind);
  for_chunks(context, p.size, [&](int64_t i, int64_t end) {
    for (; i + W <= end; i += W) store(b.y + i, clamp(load(b.x + i)));
    for (; i < end; ++i) b.y[i] = clamp(broadcast(b.x[i]))[0];
  });
}

template <bool Accumulate>
void backward(const ActivationProblem& p, const ActivationBuffers& b, const ExecutionContext& context) {
  const GradientMask masked(p.kind);
  for_chunks(context, p.size, [&](int64_t i, int64_t end) {
    for (; i + W <= end; i += W) {
      const Vec dx = masked(load(b.y + i), load(b.dy + i));
      store(b.dx + i, Accumulate ? load(b.dx + i) + dx : dx);
    }
    for (; i < end; ++i) {
      const float dx = masked(broadcast(b.y[i]), broadcast(b.dy[i]))[0];
      b.dx[i] = Accumulate ? b.dx[i] + dx : dx;
    }
  });
}

constexpr ActivationSolver solvers[] = {
    {"vectorised", [](const ActivationProblem& p) { return !p.backward; }, forward},
    {"vectorised", [](const ActivationProblem& p) { return p.backward && !p.accumulate; }, backward<false>},
    {"vectorised", [](const ActivationProblem& p) { return p.backward && p.accumulate; }, backward<true>},
};

}  // namespace

namespace GROUPCONV_ISA {
extern const ActivationTable activation_solvers = {solvers, 3};
}

}  // namespace groupconv
