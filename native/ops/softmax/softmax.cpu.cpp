// The CPU's solver list for softmax, and its plain reference in float64.
#include <algorithm>
#include <cmath>

#include "cpu/offer.h"
#include "ops/softmax/softmax.h"

namespace groupconv {

GROUPCONV_PER_ISA(SoftmaxTable, softmax_solvers)

namespace {

// Calls body(offset of the first element) for every row; elements of a row are `inner` apart.
template <class Body>
void for_rows(const SoftmaxProblem& p, const Body& body) {
  for (int64_t o = 0; o < p.outer; ++o)
    for (int64_t i = 0; i < p.inner; ++i) body(o * p.count * p.inner + i);
}

void forward(const SoftmaxProblem& p, const SoftmaxBuffers& b, const ExecutionContext&) {
  for_rows(p, [&](int64_t offset) {
    const auto x = [&](int64_t c) { return double{b.x[offset + c * p.inner]}; };
    double top = -INFINITY, sum = 0;
    for (int64_t c = 0; c < p.count; ++c) top = std::max(top, x(c));
    for (int64_t c = 0; c < p.count; ++c) sum += std::exp(x(c) - top);
    for (int64_t c = 0; c < p.count; ++c)
      b.y[offset + c * p.inner] =
          static_cast<float>(p.log ? x(c) - top - std::log(sum) : std::exp(x(c) - top) / sum);
  });
}

void backward(const SoftmaxProblem& p, const SoftmaxBuffers& b, const ExecutionContext&) {
  for_rows(p, [&](int64_t offset) {
    double sum = 0;
    for (int64_t c = 0; c < p.count; ++c) {
      const int64_t i = offset + c * p.inner;
      sum += p.log ? b.dy[i] : double{b.dy[i]} * b.y[i];
    }
    for (int64_t c = 0; c < p.count; ++c) {
      const int64_t i = offset + c * p.inner;
      const double dx = p.log ? b.dy[i] - std::exp(double{b.y[i]}) * sum : b.y[i] * (b.dy[i] - sum);
      b.dx[i] = static_cast<float>(p.accumulate ? b.dx[i] + dx : dx);
    }
  });
}

constexpr SoftmaxSolver references[] = {
    {"reference", [](const SoftmaxProblem& p) { return !p.backward; }, forward},
    {"reference", [](const SoftmaxProblem& p) { return p.backward; }, backward},
};

const bool offered = offer<softmax_registry, references, softmax_solvers_for>();

}  // namespace
}  // namespace groupconv
