// The CPU's solver list for crossEntropy, its plain reference in float64, and the check of the labels.
#include <algorithm>
#include <cmath>

#include "cpu/offer.h"
#include "ops/crossEntropy/crossEntropy.h"

namespace groupconv {

GROUPCONV_PER_ISA(CrossEntropyTable, cross_entropy_solvers)

void check_labels(const CrossEntropyProblem& p, const int32_t* labels) {
  for (int64_t row = 0; row < p.n; ++row)
    require(labels[row] >= 0 && labels[row] < p.classes, ErrorCode::InvalidArgument, "crossEntropy: label ",
            labels[row], " of sample ", row, ", ", p.classes, " classes");
}

namespace {

double log_sum_exp(const float* x, int64_t count) {
  const double top = *std::max_element(x, x + count);
  double sum = 0;
  for (int64_t c = 0; c < count; ++c) sum += std::exp(x[c] - top);
  return top + std::log(sum);
}

void forward(const CrossEntropyProblem& p, const CrossEntropyBuffers& b, const ExecutionContext&) {
  check_labels(p, b.labels);
  double loss = 0;
  for (int64_t row = 0; row < p.n; ++row) {
    const float* x = b.logits + row * p.classes;
    double mean = 0;
    for (int64_t c = 0; c < p.classes && p.label_smoothing > 0; ++c) mean += double{x[c]} / p.classes;
    loss += log_sum_exp(x, p.classes) - (1.0 - p.label_smoothing) * x[b.labels[row]];
    if (p.label_smoothing > 0) loss -= p.label_smoothing * mean;
  }
  *b.loss = static_cast<float>(loss / p.n);
}

void backward(const CrossEntropyProblem& p, const CrossEntropyBuffers& b, const ExecutionContext&) {
  check_labels(p, b.labels);
  for (int64_t row = 0; row < p.n; ++row) {
    const float* x = b.logits + row * p.classes;
    const double normaliser = log_sum_exp(x, p.classes);
    for (int64_t c = 0; c < p.classes; ++c) {
      const double target =
          (c == b.labels[row] ? 1.0 - p.label_smoothing : 0) + double{p.label_smoothing} / p.classes;
      const double gradient = *b.dloss / double(p.n) * (std::exp(x[c] - normaliser) - target);
      float& dx = b.dlogits[row * p.classes + c];
      dx = static_cast<float>(p.accumulate ? dx + gradient : gradient);
    }
  }
}

constexpr CrossEntropySolver references[] = {
    {"reference", [](const CrossEntropyProblem& p) { return !p.backward; }, forward},
    {"reference", [](const CrossEntropyProblem& p) { return p.backward; }, backward},
};

const bool offered = offer<cross_entropy_registry, references, cross_entropy_solvers_for>();

}  // namespace
}  // namespace groupconv
