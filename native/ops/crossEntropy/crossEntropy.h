// Mean cross entropy between logits [N, C] and class labels [N], as torch.nn.functional.cross_entropy with
// label smoothing s: the target distribution has 1 - s + s / C at the label and s / C elsewhere.
//
//   loss = 1 / N sum over n of [ log sum_c exp(x[n, c]) - (1 - s) x[n, label[n]] - s / C sum_c x[n, c] ]
//   dx[n, c] = dloss / N (softmax(x[n])[c] - (1 - s) [c = label[n]] - s / C)
#pragma once
#include "core/dispatch.h"
#include "core/tensor.h"

namespace groupconv {

struct CrossEntropyProblem {
  DType dtype;                // of the logits and their gradient; the loss is float32
  bool backward, accumulate;  // accumulate: dlogits += …
  float label_smoothing;      // 0 to 1
  int64_t n, classes;
};
std::ostream& operator<<(std::ostream& out, const CrossEntropyProblem& problem);

struct CrossEntropyBuffers {
  const float* logits;    // [n, classes]
  const int32_t* labels;  // [n]
  float* loss;            // forward: one number
  const float* dloss;     // backward: one number
  float* dlogits;         // backward: [n, classes]
  void* workspace;
};

using CrossEntropySolver = Solver<CrossEntropyProblem, CrossEntropyBuffers>;
using CrossEntropyTable = SolverTable<CrossEntropyProblem, CrossEntropyBuffers>;
Registry<CrossEntropyProblem, CrossEntropyBuffers>& cross_entropy_registry();

// Every CPU solver's first step. Throws INVALID_ARGUMENT for a label outside [0, classes): while the queue
// runs, because labels are values; it is told at the next wait.
void check_labels(const CrossEntropyProblem& problem, const int32_t* labels);

// labels: int32. The loss is a scalar, shape [].
TensorPtr cross_entropy(const Tensor& logits, const Tensor& labels, float label_smoothing);
void cross_entropy_grad(const Tensor& dloss, const Tensor& logits, const Tensor& labels,
                        float label_smoothing, Tensor& dlogits, GradMode mode);

}  // namespace groupconv
