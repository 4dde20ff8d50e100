#include "ops/activation/activation.h"
#include "cpu/elementwise.h"
#include "ops/activation/activation.kernels.h"

namespace groupconv {
namespace {

// Zeroes the lanes past the last channel, of the elements [first, end) of y. Both are multiples of W.
void clear_pad_lanes(const ActivationProblem& p, float* y, int64_t first, int64_t end) {
  const int64_t plane = p.pixels * W;
  for (int64_t at = first / plane; at * plane < end; ++at) {
    if (at % p.blocks != p.blocks - 1) continue;
    const int64_t last = min_of(end, (at + 1) * plane);
    for (int64_t i = max_of(first, at * plane); i < last; i += W)
      for (int lane = p.last_lanes; lane < W; ++lane) y[i + lane] = 0;
  }
}

void forward(const ActivationProblem& p, const ActivationBuffers& b, const ExecutionContext& context) {
  with_nonlinearity(p.kind, [&](const auto& f) {
    for_chunks(context, p.size, [&](int64_t first, int64_t end) {
      int64_t i = first;
      for (; i + W <= end; i += W) store(b.y + i, f(load(b.x + i)));
      for (; i < end; ++i) b.y[i] = f(broadcast(b.x[i]))[0];
      if (p.last_lanes < p.lanes) clear_pad_lanes(p, b.y, first, end);
    });
  });
}

template <bool Accumulate>
void backward(const ActivationProblem& p, const ActivationBuffers& b, const ExecutionContext& context) {
  with_nonlinearity(p.kind, [&](const auto& f) {
    const auto gradient = [&](Vec saved, Vec dy) GROUPCONV_INLINE_LAMBDA { return f.gradient(saved, dy); };
    combine_elements<Accumulate>(context, p.size, b.saved, b.dy, b.dx, gradient);
  });
}

// Pads are those of a whole vector's block.
bool fits(const ActivationProblem& p) { return p.last_lanes == p.lanes || p.lanes == W; }

constexpr ActivationSolver solvers[] = {
    {"vectorised", [](const ActivationProblem& p) { return !p.backward && fits(p); }, forward},
    {"vectorised", [](const ActivationProblem& p) { return p.backward && !p.accumulate; }, backward<false>},
    {"vectorised", [](const ActivationProblem& p) { return p.backward && p.accumulate; }, backward<true>},
};

}  // namespace

namespace GROUPCONV_ISA {
extern const ActivationTable activation_solvers = {solvers, 3};
}

}  // namespace groupconv
