#include "ops/crossEntropy/crossEntropy.h"

#include "core/door.h"

namespace groupconv {
namespace {

CrossEntropyProblem problem_of(const Tensor& logits, const Tensor& labels, float label_smoothing) {
  require(logits.shape().rank() == 2, ErrorCode::InvalidShape, "crossEntropy: logits ", logits.shape(),
          " must be [N, C]");
  const int64_t n = logits.shape()[0], classes = logits.shape()[1];
  require(labels.shape() == Shape{n}, ErrorCode::InvalidShape, "crossEntropy: labels ", labels.shape(),
          ", logits ", logits.shape(), " need [", n, "]");
  require_computable("crossEntropy", "logits", logits);
  require(labels.dtype() == DType::Int32, ErrorCode::Unsupported, "crossEntropy: labels is ",
          name_of(labels.dtype()), ", int32 is needed");
  require_fraction("crossEntropy", "label smoothing", label_smoothing);
  return {logits.dtype(), false, false, label_smoothing, n, classes};
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const CrossEntropyProblem& p) {
  return out << (p.backward ? "gradient [" : "forward [") << p.n << ", " << p.classes << "] smoothing "
             << p.label_smoothing << (p.accumulate ? " accumulated" : "");
}

Registry<CrossEntropyProblem, CrossEntropyBuffers>& cross_entropy_registry() {
  static Registry<CrossEntropyProblem, CrossEntropyBuffers> registry("crossEntropy");
  return registry;
}

TensorPtr cross_entropy(const Tensor& logits, const Tensor& labels, float label_smoothing) {
  const CrossEntropyProblem problem = problem_of(logits, labels, label_smoothing);
  const TensorPtr loss = make_tensor(logits.shared_stream(), Shape{}, DType::Float32);
  CrossEntropyBuffers buffers{};
  buffers.logits = logits.in_layout(1);
  buffers.labels = labels.in_layout<int32_t>(1);
  buffers.loss = loss->target_in_layout(1);
  enqueue(logits.stream(), cross_entropy_registry(), problem, buffers);
  return loss;
}

void cross_entropy_grad(const Tensor& dloss, const Tensor& logits, const Tensor& labels,
                        float label_smoothing, Tensor& dlogits, GradMode mode) {
  CrossEntropyProblem problem = problem_of(logits, labels, label_smoothing);
  require(dloss.size() == 1 && dlogits.shape() == logits.shape(), ErrorCode::InvalidShape,
          "crossEntropy: gradient ", dloss.shape(), " into ", dlogits.shape(), " for logits ",
          logits.shape());
  require_float32("crossEntropy", "dloss", dloss);
  require_same_dtype("crossEntropy", "dlogits", dlogits, logits.dtype());
  problem.backward = true;
  problem.accumulate = mode == GradMode::Accumulate;
  CrossEntropyBuffers buffers{};
  buffers.logits = logits.in_layout(1);
  buffers.labels = labels.in_layout<int32_t>(1);
  buffers.dloss = dloss.in_layout(1);
  buffers.dlogits = dlogits.target_in_layout(1, mode);
  enqueue(logits.stream(), cross_entropy_registry(), problem, buffers);
}

}  // namespace groupconv
