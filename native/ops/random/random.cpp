#include "ops/random/random.h"

#include <cmath>

namespace groupconv {
namespace {

void queue(Stream& stream, const RandomProblem& problem, const RandomBuffers& buffers) {
  enqueue(stream, random_registry().choose(stream.device().kind, problem), problem, buffers);
}

void fill_random(RandomKind kind, Tensor& target, uint64_t seed, uint64_t offset, float a, float b) {
  require_float32(kind == RandomKind::Normal ? "randn" : "rand", "x", target);
  const RandomProblem problem{kind, DType::Float32, seed, offset, a, b, 1, 1, target.size(), 1};
  queue(target.stream(), problem, {nullptr, target.target_in_layout(1)});
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const RandomProblem& p) {
  constexpr const char* kinds[] = {"uniform", "normal", "dropout"};
  return out << kinds[static_cast<int>(p.kind)] << " [" << p.n << ", " << p.c << ", " << p.pixels
             << "] block " << p.block << " seed " << p.seed << " offset " << p.offset;
}

Registry<RandomProblem, RandomBuffers>& random_registry() {
  static Registry<RandomProblem, RandomBuffers> registry("random");
  return registry;
}

void random_uniform(Tensor& target, uint64_t seed, uint64_t offset, float low, float high) {
  require(std::isfinite(low) && std::isfinite(high) && low <= high, ErrorCode::InvalidArgument, "rand: from ",
          low, " to ", high);
  fill_random(RandomKind::Uniform, target, seed, offset, low, high);
}

void random_normal(Tensor& target, uint64_t seed, uint64_t offset, float mean, float std) {
  require(std::isfinite(mean) && std::isfinite(std) && std >= 0, ErrorCode::InvalidArgument, "randn: mean ",
          mean, ", standard deviation ", std);
  fill_random(RandomKind::Normal, target, seed, offset, mean, std);
}

TensorPtr dropout(const Tensor& x, float p, uint64_t seed, uint64_t offset) {
  require_computable("dropout", "x", x);
  require(p >= 0 && p <= 1, ErrorCode::InvalidArgument,
          "dropout: the probability is a number from 0 to 1, found ", p);
  const int block = x.block();
  const double scale = p < 1 ? 1 / (1 - double{p}) : 0;
  RandomProblem problem{RandomKind::Dropout, x.dtype(), seed, offset, p, scale, 1, 1, x.size(), block};
  if (block > 1)
    problem.n = x.shape()[0], problem.c = x.shape()[1], problem.pixels = x.shape()[2] * x.shape()[3];
  const TensorPtr y = make_tensor(x.shared_stream(), x.shape(), x.dtype(), block);
  const float* from = x.in_layout(block);
  queue(x.stream(), problem, {from, y->target_in_layout(block)});
  return y;
}

}  // namespace groupconv
