// Every solver that accepts a problem, on every instruction set and thread count, against the float64
// reference.
#include "ops/conv2d/conv2d.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "core/check.h"
#include "cpu/everywhere.h"
#include "ops/conv2d/conv2d.problems.h"

namespace groupconv {
namespace {

using test::Guarded;
using test::hashed_values;

struct Case {
  Conv2dProblem problem;
  Shape x, weight, y;
  std::vector<float> x_values, weight_values, y_values, bias, residual;
};

Case make_case(const Conv2dProblem& problem, uint32_t seed) {
  const Conv2dProblem& p = problem;
  Case c{
      p, {p.n, p.c, p.h, p.w}, {p.k, p.channels_per_group(), p.r, p.s}, {p.n, p.k, p.p, p.q}, {}, {}, {}, {},
      {}};
  c.x_values = hashed_values(seed, c.x.size());
  c.weight_values = hashed_values(seed + 1, c.weight.size());
  c.y_values = hashed_values(seed + 2, c.y.size());  // dy
  c.bias = hashed_values(seed + 3, (p.k + 15) / 16 * 16);
  for (size_t k = p.k; k < c.bias.size(); ++k) c.bias[k] = 0;
  c.residual = hashed_values(seed + 4, c.y.size());
  return c;
}

// Moments of y's planes, as a solver took them; none where it takes none.
class PlanesOfY {
 public:
  PlanesOfY(const Case& c, int block)
      : block_(block),
        planes_(c.y[0] * test::ceil_div(static_cast<int>(c.y[1]), block)),
        pixels_(c.y[2] * c.y[3]),
        memory_(PlaneMoments::bytes(planes_, block) / 4) {
    std::memset(memory_.data(), 0, PlaneMoments::stored_bytes(planes_));
  }
  PlaneMoments moments() { return PlaneMoments::at(memory_.data(), planes_); }
  // Empty: the solver left it alone, as `direct` does where it writes a copy.
  std::vector<double> values(const Conv2dSolver& solver, const float* y, const std::string& note) {
    CHECK_NOTE(memory_.intact(), "guards of the moments of " + note);
    const PlaneMoments taken = moments();
    if (!taken.are_complete(planes_, pixels_)) {
      for (int64_t i = 0; i < planes_; ++i) CHECK_NOTE(taken.stored[i] == 0, "moments in part of " + note);
      CHECK_NOTE(!std::strcmp(solver.name, "reference") || !std::strcmp(solver.name, "direct"),
                 "no moments of " + note);
      return {};
    }
    double worst = 0;
    for (int64_t plane = 0; plane < planes_; ++plane)
      for (int64_t lane = 0; lane < block_; ++lane) {
        const float* at = y + plane * pixels_ * block_ + lane;
        const double* values = taken.values + plane * 2 * block_ + lane;
        double sum = 0, squares = 0, size = 0;
        for (int64_t i = 0; i < pixels_; ++i) sum += at[i * block_];
        const double mean = sum / static_cast<double>(pixels_);
        for (int64_t i = 0; i < pixels_; ++i) {
          squares += (at[i * block_] - mean) * (at[i * block_] - mean);
          size += at[i * block_] * at[i * block_];
        }
        const double scale = std::sqrt(size / static_cast<double>(pixels_)) + 1e-30;
        worst = std::max(
            {worst, std::abs(values[0] - mean) / scale, std::abs(values[block_] - squares) / (size + 1e-30)});
      }
    CHECK_NOTE(worst < 1e-6, "moments of " + note + " error " + std::to_string(worst));
    return std::vector<double>(taken.values, taken.values + planes_ * 2 * block_);
  }

 private:
  const int64_t block_, planes_, pixels_;
  Guarded memory_;
};

// The output of one solver in plain order. In place: y's memory holds the residual.
std::vector<float> run(const Conv2dSolver& solver, const Conv2dProblem& p, const Case& c, int threads,
                       const std::string& note, bool in_place = false,
                       std::vector<double>* moments = nullptr) {
  const Guarded x(c.x, c.x_values, p.x_block), dy(c.y, c.y_values, p.y_block),
      residual(c.y, c.residual, p.y_block);
  Guarded y(c.y, p.y_block), dx(c.x, p.x_block), dweight(c.weight.size());
  if (in_place) y = Guarded(c.y, c.residual, p.y_block);
  if (p.accumulate) {
    dx = Guarded(c.x, c.x_values, p.x_block);
    dweight = Guarded(c.weight_values);
  }
  Guarded weight = solver.prepare ? Guarded(solver.prepared_bytes(p) / 4) : Guarded(c.weight_values);
  const Guarded bias(c.bias);
  Guarded workspace(solver.workspace_bytes ? solver.workspace_bytes(p) / 4 : 0);
  const CpuContext context(threads);
  if (solver.prepare) solver.prepare(p, c.weight_values.data(), weight.data(), context);
  PlanesOfY planes(c, p.y_block);
  Conv2dBuffers b{x.data(),
                  weight.data(),
                  p.has_bias ? bias.data() : nullptr,
                  !p.has_residual ? nullptr
                  : in_place      ? y.data()
                                  : residual.data(),
                  y.data(),
                  dy.data(),
                  dx.data(),
                  dweight.data(),
                  workspace.data()};
  if (moments) b.moments = planes.moments();
  solver.run(p, b, context);
  if (moments) *moments = planes.values(solver, y.data(), note);
  CHECK_NOTE(x.intact() && y.intact() && dy.intact() && dx.intact() && dweight.intact() && weight.intact() &&
                 workspace.intact() && residual.intact(),
             "guards of " + note);
  switch (p.pass) {
    case Conv2dPass::Forward:
      CHECK_NOTE(y.pad_lanes_zero(c.y, p.y_block), "pad lanes of " + note);
      return y.plain(c.y, p.y_block);
    case Conv2dPass::GradInput:
      CHECK_NOTE(dx.pad_lanes_zero(c.x, p.x_block), "pad lanes of " + note);
      return dx.plain(c.x, p.x_block);
    case Conv2dPass::GradWeight:
      break;
  }
  return dweight.values();
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
      std::vector<double> first_moments, moments;
      const bool has_moments = p.pass == Conv2dPass::Forward && p.y_block > 1;
      for (int threads : {1, 2, 3}) {
        const std::string note = test::describe(*solver, p, isa, threads);
        const std::vector<float> actual =
            run(*solver, p, c, threads, note, false, has_moments ? &moments : nullptr);
        const double error = test::relative_error(actual, expected);
        CHECK_NOTE(error <= tolerance, note + " error " + std::to_string(error));
        if (threads == 1)
          first = actual, first_moments = moments;
        else
          CHECK_NOTE(test::same_bits(first, actual) && first_moments == moments, "bitwise " + note);
        if (p.has_residual)
          CHECK_NOTE(test::same_bits(first, run(*solver, p, c, threads, note, true)), "in place " + note);
        ++runs;
      }
    }
  }
}

// Whether some instruction set has this solver for the problem.
bool is_accepted_by(const char* solver_name, Conv2dProblem p) {
  for (Isa isa : available_isas()) {
    force_isa(isa);
    p.x_block = p.c <= 4 ? 1 : simd_width(isa), p.y_block = p.k <= 4 ? 1 : simd_width(isa);
    for (const Conv2dSolver* solver : conv2d_registry().list(DeviceKind::Cpu))
      if (!std::strcmp(solver->name, solver_name) && solver->accepts(p)) return true;
  }
  return false;
}

// The same numbers wherever a problem stands in the list.
uint32_t seed_of(const Conv2dProblem& p) {
  uint32_t hash = 2166136261;
  for (int32_t extent : {p.n, p.c, p.h, p.w, p.k, p.r, p.s, p.stride_h, p.stride_w, p.dilation_h, p.pad_top,
                         p.pad_right, p.pad_bottom, p.pad_left, p.groups})
    hash = (hash ^ static_cast<uint32_t>(extent)) * 16777619;
  return hash;
}

}  // namespace
}  // namespace groupconv

// Usage: conv2d_test [part parts [solver]]: every parts-th problem, of which only those that the solver
// accepts.
int main(int argc, char** argv) {
  using namespace groupconv;
  const int part = argc > 2 ? std::atoi(argv[1]) : 0, parts = argc > 2 ? std::max(1, std::atoi(argv[2])) : 1;
  const char* const solver = argc > 3 ? argv[3] : nullptr;
  int at = 0, problems = 0, runs = 0;
  for (const Conv2dProblem& base : test::conv2d_problems()) {
    if (at++ % parts != part) continue;
    const uint32_t seed = seed_of(base);
    for (Conv2dPass pass : {Conv2dPass::Forward, Conv2dPass::GradInput, Conv2dPass::GradWeight})
      for (int variant = 0; variant < 2; ++variant) {  // plain; with everything an epilogue or target can ask
        Conv2dProblem p = base;
        p.pass = pass;
        const bool forward = pass == Conv2dPass::Forward;
        p.has_bias = forward && variant;
        p.has_residual = forward && variant;
        p.activation = !forward || !variant ? Activation::None
                       : seed % 2           ? Activation::Relu
                                            : Activation::Relu6;
        p.accumulate = !forward && variant;
        if (!solver || is_accepted_by(solver, p)) check_problem(p, seed, runs);
      }
    ++problems;
  }
  std::printf("%d problems, %d solver runs\n", problems, runs);
  return test::report();
}
