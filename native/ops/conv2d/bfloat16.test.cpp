// The element type as a parameter: the kernels' units, compiled with bfloat16 elements for this test alone,
// against the float64 reference on the rounded inputs. A result is rounded once; a weight's gradient, never.
#include <algorithm>
#include <cstring>
#include <sstream>

#include "core/check.h"
#include "cpu/guarded.h"
#include "cpu/isa.h"
#include "ops/conv2d/conv2d.problems.h"

namespace groupconv {

namespace bfloat16 {
extern const Conv2dTable conv2d_pointwise, conv2d_pointwise_grad_weight, conv2d_grouped, conv2d_grouped_five,
    conv2d_grouped_grad_weight, conv2d_depthwise, conv2d_depthwise_grad_weight, conv2d_stem,
    conv2d_stem_grad_input, conv2d_stem_lines_grad_weight, conv2d_stem_grad_weight, conv2d_direct,
    conv2d_direct_grad_weight;
}  // namespace bfloat16

namespace {

using test::Guarded;
using test::hashed_values;

uint16_t encode(float v) {
  uint32_t bits;
  std::memcpy(&bits, &v, sizeof bits);
  return static_cast<uint16_t>((v == v ? bits + 0x7fff + (bits >> 16 & 1) : bits | 0x400000) >> 16);
}
float decode(uint16_t half) {
  const uint32_t bits = uint32_t{half} << 16;
  float v;
  std::memcpy(&v, &bits, sizeof v);
  return v;
}
std::vector<float> rounded(std::vector<float> values) {
  for (float& v : values) v = decode(encode(v));
  return values;
}

// Elements where the kernels look for them, in guarded memory of half as many floats.
class Elements {
 public:
  Elements(const Shape& shape, int block) : Elements(Guarded(shape, block)) {}
  Elements(const Shape& shape, const std::vector<float>& plain, int block)
      : Elements(Guarded(shape, plain, block)) {}

  float* data() { return memory_.data(); }
  const float* data() const { return memory_.data(); }
  bool intact() const { return memory_.intact(); }
  Guarded widened(const Shape& shape, int block) const {
    Guarded wide(shape, block);
    for (size_t i = 0; i < size_; ++i) wide.data()[i] = decode(half(i));
    return wide;
  }

 private:
  explicit Elements(const Guarded& wide) : memory_((wide.size() + 1) / 2), size_(wide.size()) {
    for (size_t i = 0; i < size_; ++i) {
      const uint16_t half = encode(wide.data()[i]);
      std::memcpy(reinterpret_cast<char*>(data()) + 2 * i, &half, 2);
    }
  }
  uint16_t half(size_t i) const {
    uint16_t half;
    std::memcpy(&half, reinterpret_cast<const char*>(data()) + 2 * i, 2);
    return half;
  }

  Guarded memory_;
  size_t size_;
};

const Conv2dTable* const tables[] = {&bfloat16::conv2d_pointwise,
                                     &bfloat16::conv2d_pointwise_grad_weight,
                                     &bfloat16::conv2d_grouped,
                                     &bfloat16::conv2d_grouped_five,
                                     &bfloat16::conv2d_grouped_grad_weight,
                                     &bfloat16::conv2d_depthwise,
                                     &bfloat16::conv2d_depthwise_grad_weight,
                                     &bfloat16::conv2d_stem,
                                     &bfloat16::conv2d_stem_grad_input,
                                     &bfloat16::conv2d_stem_lines_grad_weight,
                                     &bfloat16::conv2d_stem_grad_weight,
                                     &bfloat16::conv2d_direct,
                                     &bfloat16::conv2d_direct_grad_weight};

struct Case {
  Conv2dProblem problem;
  Shape x, weight, y;
  std::vector<float> x_values, weight_values, y_values, bias, residual;

  Case(const Conv2dProblem& p, uint32_t seed)
      : problem(p),
        x({p.n, p.c, p.h, p.w}),
        weight({p.k, p.channels_per_group(), p.r, p.s}),
        y({p.n, p.k, p.p, p.q}),
        x_values(rounded(hashed_values(seed, x.size()))),
        weight_values(hashed_values(seed + 1, weight.size())),
        y_values(rounded(hashed_values(seed + 2, y.size()))),
        bias(hashed_values(seed + 3, (p.k + 15) / 16 * 16)),
        residual(rounded(hashed_values(seed + 4, y.size()))) {
    for (size_t k = p.k; k < bias.size(); ++k) bias[k] = 0;
  }
  const Shape& result() const {
    return problem.pass == Conv2dPass::Forward ? y : problem.pass == Conv2dPass::GradInput ? x : weight;
  }
};

std::vector<float> reference(const Case& c) {
  Conv2dProblem p = c.problem;
  p.x_block = p.y_block = 1;
  const std::vector<float> weight = rounded(c.weight_values);
  std::vector<float> result(c.result().size());
  const Conv2dBuffers b{c.x_values.data(),
                        weight.data(),
                        p.has_bias ? c.bias.data() : nullptr,
                        p.has_residual ? c.residual.data() : nullptr,
                        result.data(),
                        c.y_values.data(),
                        result.data(),
                        result.data(),
                        nullptr};
  for (const Conv2dSolver* solver : conv2d_registry().list(DeviceKind::Cpu))
    if (!std::strcmp(solver->name, "reference") && solver->accepts(p)) {
      solver->run(p, b, CpuContext(1));
      return result;
    }
  return {};
}

std::vector<float> run(const Conv2dSolver& solver, const Case& c, int threads, const std::string& note) {
  const Conv2dProblem& p = c.problem;
  const Elements x(c.x, c.x_values, p.x_block), dy(c.y, c.y_values, p.y_block),
      residual(c.y, c.residual, p.y_block);
  Elements y(c.y, p.y_block), dx(c.x, p.x_block);
  Guarded weight(solver.prepare ? solver.prepared_bytes(p) / 4 : 0), dweight(c.weight.size());
  Guarded workspace(solver.workspace_bytes ? (solver.workspace_bytes(p) + 3) / 4 : 0);
  const Guarded bias(c.bias);
  const CpuContext context(threads);
  if (solver.prepare) solver.prepare(p, c.weight_values.data(), weight.data(), context);
  const Conv2dBuffers b{x.data(),
                        weight.data(),
                        p.has_bias ? bias.data() : nullptr,
                        p.has_residual ? residual.data() : nullptr,
                        y.data(),
                        dy.data(),
                        dx.data(),
                        dweight.data(),
                        workspace.data()};
  solver.run(p, b, context);
  CHECK_NOTE(x.intact() && y.intact() && dy.intact() && dx.intact() && residual.intact() && weight.intact() &&
                 dweight.intact() && workspace.intact(),
             "guards of " + note);
  if (p.pass == Conv2dPass::GradWeight) return dweight.values();
  const bool is_forward = p.pass == Conv2dPass::Forward;
  const int block = is_forward ? p.y_block : p.x_block;
  const Guarded wide = (is_forward ? y : dx).widened(c.result(), block);
  CHECK_NOTE(wide.pad_lanes_zero(c.result(), block), "pad lanes of " + note);
  return wide.plain(c.result(), block);
}

// The largest |actual - expected| in units of what one rounding (none of a weight's gradient) may cost, after
// sums in float32.
double worst(const std::vector<float>& actual, const std::vector<float>& expected, Conv2dPass pass) {
  const double half_unit = pass == Conv2dPass::GradWeight ? 0 : 1.0 / 256;
  double most = 0, largest = 0;
  for (float v : expected) most = std::max(most, std::fabs(double{v}));
  for (size_t i = 0; i < expected.size(); ++i) {
    const double allowed = std::fabs(double{expected[i]}) * half_unit + 2e-6 * most;
    const double units = std::fabs(double{actual[i]} - expected[i]) / allowed;
    largest = std::max(largest, units == units ? units : INFINITY);
  }
  return largest;
}

// Partial sums that wait in a tensor or in its copy are rounded there, too.
bool sums_in_memory(const Conv2dSolver& solver, const Conv2dProblem& p) {
  return p.pass != Conv2dPass::GradWeight &&
         (!std::strcmp(solver.name, "direct") || (!std::strcmp(solver.name, "depthwise") && p.k != p.c));
}

void check_problem(const Conv2dTable& table, const Conv2dProblem& p, uint32_t seed, int& runs) {
  for (const Conv2dSolver* solver = table.first; solver < table.first + table.count; ++solver) {
    if (!solver->accepts(p)) continue;
    const Case c(p, seed);
    const std::vector<float> expected = reference(c);
    std::ostringstream text;
    text << solver->name << ' ' << p;
    const std::vector<float> first = run(*solver, c, 1, text.str());
    if (sums_in_memory(*solver, p)) {
      const double error = test::relative_error(first, expected);
      CHECK_NOTE(error <= 1.0 / 128, text.str() + " error " + std::to_string(error));
    } else {
      const double error = worst(first, expected, p.pass);
      CHECK_NOTE(error <= 1, text.str() + " error " + std::to_string(error));
    }
    CHECK_NOTE(test::same_bits(first, run(*solver, c, 3, text.str())), "bitwise " + text.str());
    ++runs;
  }
}

// Stores round as the format does: ties to even, to infinity beyond the largest, and a NaN stays one.
void check_rounding(int width) {
  const std::vector<float> values = {1.00390625f, 1.01171875f, -1.00390625f, 1.005f,
                                     3.4e38f,     1e-40f,      -INFINITY,    NAN};
  Conv2dProblem p = conv2d_problem({1, 8, 1, 1}, {8, 8, 1, 1}, {{1, 1}, {1, 1}, {0, 0, 0, 0}, 1});
  p.x_block = p.y_block = width;
  p.has_bias = 1;
  Case c(p, 1);
  std::fill(c.x_values.begin(), c.x_values.end(), 0.0f);
  std::copy(values.begin(), values.end(), c.bias.begin());
  const std::vector<float> actual = run(*bfloat16::conv2d_pointwise.first, c, 1, "rounding");
  for (size_t i = 0; i < values.size(); ++i)
    CHECK_NOTE(encode(actual[i]) == encode(values[i]), "rounding of " + std::to_string(values[i]));
}

}  // namespace
}  // namespace groupconv

int main() {
  using namespace groupconv;
#if defined(__x86_64__)
  const Isa isa = Isa::Avx2;
#elif defined(__aarch64__)
  const Isa isa = Isa::Neon;
#else
  const Isa isa = Isa::Baseline;
#endif
  const std::vector<Isa> available = available_isas();
  if (std::find(available.begin(), available.end(), isa) == available.end()) {
    std::printf("not on this machine: %s\n", isa_name(isa));
    return test::report();
  }
  check_rounding(simd_width(isa));
  uint32_t problems = 0;
  int runs = 0;
  for (Conv2dProblem p : test::conv2d_problems()) {
    p.dtype = DType::BFloat16;
    p.x_block = p.c <= 4 ? 1 : simd_width(isa), p.y_block = p.k <= 4 ? 1 : simd_width(isa);
    for (Conv2dPass pass : {Conv2dPass::Forward, Conv2dPass::GradInput, Conv2dPass::GradWeight})
      for (int variant = 0; variant < (pass == Conv2dPass::Forward ? 2 : 1); ++variant) {
        p.pass = pass;
        p.has_bias = p.has_residual = variant;
        p.activation = !variant ? Activation::None : problems % 2 ? Activation::Relu : Activation::Relu6;
        for (const Conv2dTable* table : tables) check_problem(*table, p, 7 * problems + 1, runs);
      }
    ++problems;
  }
  std::printf("%d solver runs\n", runs);
  return test::report();
}
