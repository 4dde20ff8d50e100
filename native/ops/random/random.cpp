#include "ops/random/random.h"

#include <cmath>

#include "core/door.h"

namespace groupconv {
namespace {

const RandomPosition* memory_of(const char* op, const Tensor& position) {
  require(position.shape() == Shape{4} && position.dtype() == DType::Int32, ErrorCode::InvalidArgument, op,
          ": the position is ", name_of(position.dtype()), ' ', position.shape(), ", expected int32 [4]");
  return position.in_layout<RandomPosition>(1);
}

void fill_random(const char* op, RandomKind kind, Tensor& target, const Tensor& position, float a, float b) {
  require_float32(op, "x", target);
  const RandomProblem problem{kind, DType::Float32, a, b, 1, 1, target.size(), 1};
  const RandomPosition* const at = memory_of(op, position);
  enqueue(target.stream(), random_registry(), problem, {nullptr, at, target.target_in_layout(1)});
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const RandomProblem& p) {
  constexpr const char* kinds[] = {"uniform", "normal", "dropout"};
  return out << kinds[static_cast<int>(p.kind)] << " [" << p.n << ", " << p.c << ", " << p.pixels
             << "] block " << p.block;
}

Registry<RandomProblem, RandomBuffers>& random_registry() {
  static Registry<RandomProblem, RandomBuffers> registry("random");
  return registry;
}

void random_uniform(Tensor& target, const Tensor& position, float low, float high) {
  require(std::isfinite(low) && std::isfinite(high) && low <= high, ErrorCode::InvalidArgument, "rand: from ",
          low, " to ", high);
  fill_random("rand", RandomKind::Uniform, target, position, low, high);
}

void random_normal(Tensor& target, const Tensor& position, float mean, float std) {
  require(std::isfinite(mean) && std::isfinite(std) && std >= 0, ErrorCode::InvalidArgument, "randn: mean ",
          mean, ", standard deviation ", std);
  fill_random("randn", RandomKind::Normal, target, position, mean, std);
}

TensorPtr dropout(const Tensor& x, float p, const Tensor& position) {
  require_computable("dropout", "x", x);
  require_fraction("dropout", "the probability", p);
  const int block = x.block();
  const double scale = p < 1 ? 1 / (1 - double{p}) : 0;
  RandomProblem problem{RandomKind::Dropout, x.dtype(), p, scale, 1, 1, x.size(), block};
  if (block > 1)
    problem.n = x.shape()[0], problem.c = x.shape()[1], problem.pixels = x.shape()[2] * x.shape()[3];
  const RandomPosition* const at = memory_of("dropout", position);
  const TensorPtr y = make_tensor(x.shared_stream(), x.shape(), x.dtype(), block);
  const float* from = x.in_layout(block);
  enqueue(x.stream(), random_registry(), problem, {from, at, y->target_in_layout(block)});
  return y;
}

}  // namespace groupconv
