#include "ops/add/add.h"

#include "core/door.h"

namespace groupconv {

std::ostream& operator<<(std::ostream& out, const AddProblem& problem) {
  constexpr const char* activations[] = {"", " relu", " relu6"};
  return out << "add" << activations[static_cast<int>(problem.activation)] << ' ' << problem.broadcast;
}

Registry<AddProblem, AddBuffers>& add_registry() {
  static Registry<AddProblem, AddBuffers> registry("add");
  return registry;
}

TensorPtr add(const Tensor& a, const Tensor& b, Activation activation) {
  const Operands operands = operands_of("add", "a", a, "b", b);
  const Tensor& x = *operands.x;
  AddBuffers buffers{};
  buffers.a = x.in_layout(operands.block);
  buffers.b = operands.values->in_layout(operands.block);
  const TensorPtr y = make_tensor(x.shared_stream(), x.shape(), x.dtype(), operands.block);
  buffers.y = y->target_in_layout(operands.block);
  enqueue(x.stream(), add_registry(), {x.dtype(), activation, operands.broadcast}, buffers);
  return y;
}

void accumulate(Tensor& target, const Tensor& addend) {
  require_shape("accumulate", "addend", addend, target.shape());
  const Operands operands = operands_of("accumulate", "target", target, "addend", addend);
  AddBuffers buffers{};
  buffers.b = addend.in_layout(operands.block);
  buffers.y = target.update_in_layout(operands.block);
  buffers.a = buffers.y;
  enqueue(target.stream(), add_registry(), {target.dtype(), Activation::None, operands.broadcast}, buffers);
}

}  // namespace groupconv
