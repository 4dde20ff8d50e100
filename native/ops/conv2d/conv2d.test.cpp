// Every solver that accepts a problem, on every instruction set and thread count, against the float64 reference.
#include "ops/conv2d/conv2d.h"

#include <cstring>
#include <sstream>

#include "core/check.h"
#include "cpu/context.h"
#include "cpu/isa.h"
#include "cpu/layout.h"
#include "ops/conv2d/conv2d.problems.h"

namespace groupconv {
namespace {

using test::hashed_values;

constexpr size_t kGuard = 64;       // floats before and after every buffer
constexpr float kSentinel = 12345;  // what guards hold

// 64-byte aligned memory whose surroundings are watched.
class Guarded {
 public:
  explicit Guarded(size_t size, float fill = NAN) : memory_(size + 2 * kGuard + 16, kSentinel), size_(size) {
    const size_t misaligned = reinterpret_cast<uintptr_t>(memory_.data()) / sizeof(float) % 16;
    offset_ = kGuard + (16 - misaligned) % 16;
    for (size_t i = 0; i < size; ++i) data()[i] = fill;
  }
  float* data() { return memory_.data() + offset_; }
  size_t size() const { return size_; }
  bool intact() const {
    for (size_t i = 0; i < memory_.size(); ++i)
      if ((i < offset_ || i >= offset_ + size_) && memory_[i] != kSentinel) return false;
    return true;
  }

 private:
  std::vector<float> memory_;
  size_t size_, offset_;
};

struct Case {
  Conv2dProblem problem;
  Shape x, weight, y;
  std::vector<float> x_values, weight_values, y_values, bias, residual;
};

Case make_case(const Conv2dProblem& problem, uint32_t seed) {
  const Conv2dProblem& p = problem;
  Case c{p, {p.n, p.c, p.h, p.w}, {p.k, p.channels_per_group(), p.r, p.s}, {p.n, p.k, p.p, p.q}, {}, {}, {}, {}, {}};
  c.x_values = hashed_values(seed, c.x.size());
  c.weight_values = hashed_values(seed + 1, c.weight.size());
  c.y_values = hashed_values(seed + 2, c.y.size());  // dy
  c.bias = hashed_values(seed + 3, (p.k + 15) / 16 * 16);
  for (size_t k = p.k; k < c.bias.size(); ++k) c.bias[k] = 0;
  c.residual = hashed_values(seed + 4, c.y.size());
  return c;
}

void copy_in(const Shape& shape, const std::vector<float>& plain, int block, Guarded& out) {
  relayout(CpuContext(1), shape, 4, plain.data(), 1, out.data(), block);
}
std::vector<float> copy_out(const Shape& shape, Guarded& in, int block) {
  std::vector<float> plain(shape.size());
  relayout(CpuContext(1), shape, 4, in.data(), block, plain.data(), 1);
  return plain;
}
size_t physical(const Shape& shape, int block) { return static_cast<size_t>(Tensor::physical_size(shape, block)); }

bool pad_lanes_zero(const Shape& shape, Guarded& memory, int block) {
  if (block == 1) return true;
  const int64_t blocks = (shape[1] + block - 1) / block, pixels = shape[2] * shape[3];
  for (int64_t n = 0; n < shape[0]; ++n)
    for (int64_t pixel = 0; pixel < pixels; ++pixel)
      for (int64_t c = shape[1]; c < blocks * block; ++c)
        if (memory.data()[((n * blocks + c / block) * pixels + pixel) * block + c % block] != 0) return false;
  return true;
}

// The output of one solver in plain order.
std::vector<float> run(const Conv2dSolver& solver, const Conv2dProblem& p, const Case& c, int threads,
                       const std::string& note) {
  Guarded x(physical(c.x, p.x_block)), y(physical(c.y, p.y_block)), residual(physical(c.y, p.y_block));
  copy_in(c.x, c.x_values, p.x_block, x);
  copy_in(c.y, c.residual, p.y_block, residual);
  Guarded dy(physical(c.y, p.y_block)), dx(physical(c.x, p.x_block)), dweight(c.weight.size());
  copy_in(c.y, c.y_values, p.y_block, dy);
  if (p.accumulate) {
    copy_in(c.x, c.x_values, p.x_block, dx);
    std::memcpy(dweight.data(), c.weight_values.data(), c.weight_values.size() * 4);
  }
  Guarded weight(solver.prepare ? solver.prepared_bytes(p) / 4 : c.weight.size());
  Guarded workspace(solver.workspace_bytes ? solver.workspace_bytes(p) / 4 : 0);
  const CpuContext context(threads);
  if (solver.prepare) solver.prepare(p, c.weight_values.data(), weight.data(), context);
  else std::memcpy(weight.data(), c.weight_values.data(), c.weight_values.size() * 4);
  Conv2dBuffers b{x.data(), weight.data(), p.has_bias ? c.bias.data() : nullptr,
                  p.has_residual ? residual.data() : nullptr, y.data(), dy.data(), dx.data(), dweight.data(),
                  workspace.data()};
  // Bias must be readable as whole aligned vectors, like everything else.
  Guarded bias(c.bias.size());
  std::memcpy(bias.data(), c.bias.data(), c.bias.size() * 4);
  if (b.bias) b.bias = bias.data();
  solver.run(p, b, context);
  CHECK_NOTE(x.intact() && y.intact() && dy.intact() && dx.intact() && dweight.intact() && weight.intact() &&
                 workspace.intact() && residual.intact(), "guards of " + note);
  switch (p.pass) {
    case Conv2dPass::Forward:
      CHECK_NOTE(pad_lanes_zero(c.y, y, p.y_block), "pad lanes of " + note);
      return copy_out(c.y, y, p.y_block);
    case Conv2dPass::GradInput:
      CHECK_NOTE(pad_lanes_zero(c.x, dx, p.x_block), "pad lanes of " + note);
      return copy_out(c.x, dx, p.x_block);
    case Conv2dPass::GradWeight: break;
  }
  return std::vector<float>(dweight.data(), dweight.data() + dweight.size());
}

std::string describe(const Conv2dSolver& solver, const Conv2dProblem& p, Isa isa, int threads) {
  std::ostringstream text;
  text << solver.name << ' ' << isa_name(isa) << " x" << threads << ' ' << p;
  return text.str();
}

void check_problem(Conv2dProblem p, uint32_t seed, int& runs) {
  const auto& list = conv2d_registry();
  const Case c = make_case(p, seed);
  p.x_block = p.y_block = 1;
  const Conv2dSolver& reference = *[&] {
    for (const Conv2dSolver* solver : list.list(DeviceKind::Cpu))
      if (!std::strcmp(solver->name, "reference") && solver->accepts(p)) return solver;
    return static_cast<const Conv2dSolver*>(nullptr);
  }();
  const std::vector<float> expected = run(reference, p, c, 1, "reference");
  const double tolerance = p.pass == Conv2dPass::Forward ? 1e-6 : 1e-5;
  for (Isa isa : available_isas()) {
    force_isa(isa);
    p.x_block = p.c <= 4 ? 1 : simd_width(isa);
    p.y_block = p.k <= 4 ? 1 : simd_width(isa);
    for (const Conv2dSolver* solver : list.list(DeviceKind::Cpu)) {
      if (!solver->accepts(p)) continue;
      std::vector<float> first;
      for (int threads : {1, 2, 3}) {
        const std::string note = describe(*solver, p, isa, threads);
        const std::vector<float> actual = run(*solver, p, c, threads, note);
        const double error = test::relative_error(actual, expected);
        CHECK_NOTE(error <= tolerance, note + " error " + std::to_string(error));
        if (threads == 1) first = actual;
        else CHECK_NOTE(!std::memcmp(first.data(), actual.data(), first.size() * 4), "bitwise " + note);
        ++runs;
      }
    }
  }
}

}  // namespace
}  // namespace groupconv

// Usage: conv2d_test [solver]: with a name, only problems that this solver accepts.
int main(int argc, char** argv) {
  using namespace groupconv;
  int problems = 0, runs = 0;
  for (const Conv2dProblem& base : test::conv2d_problems()) {
    for (Conv2dPass pass : {Conv2dPass::Forward, Conv2dPass::GradInput, Conv2dPass::GradWeight})
      for (int variant = 0; variant < 2; ++variant) {  // plain; with everything an epilogue or target can ask
        Conv2dProblem p = base;
        p.pass = pass;
        const bool forward = pass == Conv2dPass::Forward;
        p.has_bias = forward && variant;
        p.has_residual = forward && variant;
        p.activation = !forward || !variant ? Activation::None : problems % 2 ? Activation::Relu : Activation::Relu6;
        p.accumulate = !forward && variant;
        if (argc > 1) {
          bool accepted = false;
          for (Isa isa : available_isas()) {
            force_isa(isa);
            p.x_block = p.c <= 4 ? 1 : simd_width(isa), p.y_block = p.k <= 4 ? 1 : simd_width(isa);
            for (const Conv2dSolver* solver : conv2d_registry().list(DeviceKind::Cpu))
              accepted = accepted || (!std::strcmp(solver->name, argv[1]) && solver->accepts(p));
          }
          if (!accepted) continue;
        }
        check_problem(p, 7 * problems + 1, runs);
      }
    ++problems;
  }
  std::printf("%d problems, %d solver runs\n", problems, runs);
  return test::report();
}
