#include "ops/add/add.h"

namespace groupconv {
namespace {

void check(const char* op, const char* first, const Tensor& a, const char* second, const Tensor& b) {
  require(a.shape() == b.shape(), ErrorCode::InvalidShape, op, ": ", first, " ", a.shape(), " and ", second,
          " ", b.shape(), " must have equal shapes");
  require_computable(op, first, a);
  require_same_dtype(op, second, b, a.dtype());
}

void run(const Tensor& y, Activation activation, const AddBuffers& buffers) {
  const AddProblem problem{y.dtype(), activation, y.physical_size()};
  enqueue(y.stream(), add_registry(), problem, buffers);
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const AddProblem& problem) {
  constexpr const char* activations[] = {"", " relu", " relu6"};
  return out << "add" << activations[static_cast<int>(problem.activation)] << ' ' << problem.size;
}

Registry<AddProblem, AddBuffers>& add_registry() {
  static Registry<AddProblem, AddBuffers> registry("add");
  return registry;
}

TensorPtr add(const Tensor& a, const Tensor& b, Activation activation) {
  check("add", "a", a, "b", b);
  const int block = a.block() == b.block() ? a.block() : a.activation_block();
  AddBuffers buffers{};
  buffers.a = a.in_layout(block);
  buffers.b = b.in_layout(block);
  const TensorPtr y = make_tensor(a.shared_stream(), a.shape(), a.dtype(), block);
  buffers.y = y->target_in_layout(block);
  run(*y, activation, buffers);
  return y;
}

void accumulate(Tensor& target, const Tensor& addend) {
  check("accumulate", "target", target, "addend", addend);
  const int block = target.block() == addend.block() ? target.block() : target.activation_block();
  AddBuffers buffers{};
  buffers.b = addend.in_layout(block);
  buffers.y = target.update_in_layout(block);
  buffers.a = buffers.y;
  run(target, Activation::None, buffers);
}

}  // namespace groupconv
