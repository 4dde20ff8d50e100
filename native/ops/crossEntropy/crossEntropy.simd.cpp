#include "ops/crossEntropy/crossEntropy.h"
#include "cpu/context.h"
#include "cpu/exp.h"
#include "cpu/simd.h"

namespace groupconv {
namespace {

constexpr int64_t kRun = 64;  // additions in one float32 lane before its sum goes on in float64
constexpr float kLowest = -__builtin_inff();

// The vector at x + i; lanes past the end hold `fill`.
GROUPCONV_INLINE Vec load_upto(const float* x, int64_t i, int64_t count, float fill) {
  if (i + W <= count) return load_unaligned(x + i);
  Vec v = broadcast(fill);
  for (int64_t lane = 0; i + lane < count; ++lane) v[lane] = x[i + lane];
  return v;
}

// A NaN may escape here, but not from the sum of exponentials.
float maximum(const float* x, int64_t count) {
  Vec most = broadcast(kLowest);
  for (int64_t i = 0; i < count; i += W) most = max(load_upto(x, i, count, kLowest), most);
  float top = most[0];
  for (int lane = 1; lane < W; ++lane) top = most[lane] > top ? most[lane] : top;
  return top;
}

// Sum of term(x[i] - top); term(fill - top) is 0.
template <class Term>
GROUPCONV_INLINE double sum_over(const float* x, int64_t count, float top, float fill, const Term& term) {
  double total = 0;
  for (int64_t first = 0; first < count; first += kRun * W) {
    Vec sum = {};
    for (int64_t i = first; i < min_of(count, first + kRun * W); i += W)
      sum += term(load_upto(x, i, count, fill) - broadcast(top));
    total += sum_lanes(sum);
  }
  return total;
}

double sum_of_exponentials(const float* x, int64_t count, float top) {
  return sum_over(x, count, top, kLowest, [](Vec v) { return exp(v); });
}

double row_loss(const float* x, int64_t count, int32_t label, float smoothing) {
  const float top = maximum(x, count);
  const double sum = sum_of_exponentials(x, count, top);
  double loss = __builtin_log(sum) - (1.0 - smoothing) * (double{x[label]} - top);
  // Without smoothing a logit of minus infinity costs nothing: not 0 * infinity.
  if (smoothing > 0)
    loss -= smoothing * sum_over(x, count, top, top, [](Vec v) { return v; }) / static_cast<double>(count);
  return loss;
}

void forward(const CrossEntropyProblem& p, const CrossEntropyBuffers& b, const ExecutionContext& context) {
  check_labels(p, b.labels);
  double* losses = static_cast<double*>(b.workspace);  // [n]
  parallel_for(context, p.n, [&](int64_t row) {
    losses[row] = row_loss(b.logits + row * p.classes, p.classes, b.labels[row], p.label_smoothing);
  });
  double total = 0;
  for (int64_t row = 0; row < p.n; ++row) total += losses[row];
  *b.loss = static_cast<float>(total / static_cast<double>(p.n));
}

void backward(const CrossEntropyProblem& p, const CrossEntropyBuffers& b, const ExecutionContext& context) {
  check_labels(p, b.labels);
  const float scale = static_cast<float>(double{*b.dloss} / static_cast<double>(p.n));
  const float rest = static_cast<float>(double{p.label_smoothing} / static_cast<double>(p.classes));
  parallel_for(context, p.n, [&](int64_t row) {
    const float* x = b.logits + row * p.classes;
    float* dx = b.dlogits + row * p.classes;
    const float top = maximum(x, p.classes);
    const Vec inverse = broadcast(static_cast<float>(1 / sum_of_exponentials(x, p.classes, top)));
    const auto gradient = [&](Vec v) {
      return broadcast(scale) * (exp(v - broadcast(top)) * inverse - broadcast(rest));
    };
    const int32_t label = b.labels[row];
    const float before = dx[label];
    for (int64_t i = 0; i < p.classes; i += W) {
      Vec result = gradient(load_upto(x, i, p.classes, kLowest));
      if (p.accumulate) result += load_upto(dx, i, p.classes, 0);
      if (i + W <= p.classes)
        store_unaligned(dx + i, result);
      else
        for (int64_t lane = 0; i + lane < p.classes; ++lane) dx[i + lane] = result[lane];
    }
    // At the label the probability may be almost 1: subtract before anything is added.
    const float likely = (exp(broadcast(x[label] - top)) * inverse)[0];
    const float exact = scale * (likely - (1 - p.label_smoothing) - rest);
    dx[label] = p.accumulate ? before + exact : exact;
  });
}

constexpr CrossEntropySolver solvers[] = {
    {"rows", [](const CrossEntropyProblem& p) { return !p.backward; }, forward,
     [](const CrossEntropyProblem& p) { return static_cast<size_t>(p.n) * sizeof(double); }},
    {"rows", [](const CrossEntropyProblem& p) { return p.backward; }, backward},
};

}  // namespace

namespace GROUPCONV_ISA {
extern const CrossEntropyTable cross_entropy_solvers = {solvers, 2};
}

}  // namespace groupconv
