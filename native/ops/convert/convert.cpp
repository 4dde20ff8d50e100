#include "ops/convert/convert.h"

#include <cmath>

namespace groupconv {
namespace {

void queue(const Tensor& source, Tensor& target) {
  const int block = source.block();
  const ConvertProblem problem{source.dtype(), target.dtype(), source.physical_size()};
  ConvertBuffers buffers{};
  buffers.from = source.in_layout<void>(block);
  buffers.to = target.target_in_layout<void>(block);
  enqueue(source.stream(), convert_registry(), problem, buffers);
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const ConvertProblem& p) {
  return out << name_of(p.from) << " to " << name_of(p.to) << ", " << p.size;
}
std::ostream& operator<<(std::ostream& out, const FillProblem& p) {
  return out << name_of(p.dtype) << ' ' << p.value << ", " << p.size;
}

Registry<ConvertProblem, ConvertBuffers>& convert_registry() {
  static Registry<ConvertProblem, ConvertBuffers> registry("convert");
  return registry;
}
Registry<FillProblem, FillBuffers>& fill_registry() {
  static Registry<FillProblem, FillBuffers> registry("fill");
  return registry;
}

TensorPtr cast(const Tensor& x, DType dtype) {
  const TensorPtr y = make_tensor(x.shared_stream(), x.shape(), dtype, x.block());
  queue(x, *y);
  return y;
}

TensorPtr clone(const Tensor& x) { return cast(x, x.dtype()); }

void fill(Tensor& target, double value) {
  if (target.dtype() == DType::Int32)
    require(value == std::trunc(value) && std::fabs(value + 0.5) <= 2147483647.5, ErrorCode::InvalidArgument,
            "fill: ", value, " is no int32");
  const FillProblem problem{target.dtype(), value, target.size()};
  // Row-major, so that no pad lane is touched; readers bring it into their layout.
  const FillBuffers buffers{target.target_in_layout<void>(1)};
  enqueue(target.stream(), fill_registry(), problem, buffers);
}

void copy(Tensor& target, const Tensor& source) {
  require(target.shape() == source.shape(), ErrorCode::InvalidShape, "copy: ", source.shape(), " into ",
          target.shape());
  require(target.dtype() == source.dtype(), ErrorCode::InvalidArgument, "copy: ", name_of(source.dtype()),
          " into ", name_of(target.dtype()));
  if (&target == &source) return;
  queue(source, target);
}

}  // namespace groupconv
