// The tools of grouped3x3.*.test.cu: one problem on one solver of any device, against the CPU's reference.
#pragma once
#include <initializer_list>
#include <optional>
#include <sstream>

#include "cuda/testing.h"
#include "ops/conv2d/conv2d.h"

namespace groupconv::test {

// The first of the tables' solvers that accepts the problem on CUDA, or null.
inline const Conv2dSolver* solver_of(std::initializer_list<const Conv2dTable*> tables, Conv2dProblem p) {
  p.x_block = p.c, p.y_block = p.k;
  for (const Conv2dTable* table : tables)
    for (int i = 0; i < table->count; ++i)
      if (table->first[i].accepts(p)) return table->first + i;
  return nullptr;
}

using SolverRun = void (*)(const Conv2dProblem&, const Conv2dBuffers&, const ExecutionContext&);

// Everything a problem needs, on one device. Values are numbers of the dtype, or of TF32 where that is
// allowed: so what remains is the rounding of sums and of 16-bit results.
struct Case {
  Conv2dProblem problem;
  Values x, weight, y, bias, residual;
};

inline Values rounded(Values values, const Conv2dProblem& p) {
  if (p.dtype == DType::Float32 && !p.tf32) return values;
  const float steps = p.dtype == DType::Float32 ? 1024 : p.dtype == DType::Float16 ? 512 : 64;
  for (float& value : values) value = std::round(value * steps) / steps;
  return values;
}

inline Case make_case(const Conv2dProblem& p) {
  const auto values = [&](uint32_t seed, int64_t size) {
    return rounded(hashed_values(seed, static_cast<size_t>(size)), p);
  };
  const int64_t x = int64_t{p.n} * p.c * p.h * p.w, y = int64_t{p.n} * p.k * p.p * p.q;
  return {
      p,           values(1, x), values(2, p.k * p.channels_per_group() * 9), values(3, y), values(4, p.k),
      values(5, y)};
}

struct CaseTensors {
  TensorPtr x, weight, y, dy, dx, dweight, bias, residual;
};
// Targets hold the values that an accumulation adds to, or nothing.
inline CaseTensors tensors_of(const Place& place, const Case& c) {
  const Conv2dProblem& p = c.problem;
  const Shape x{p.n, p.c, p.h, p.w}, y{p.n, p.k, p.p, p.q}, weight{p.k, p.channels_per_group(), 3, 3};
  return {place.activation(x, c.x),
          place.parameter(weight, c.weight),
          place.target(y),
          place.activation(y, c.y),
          p.accumulate ? place.activation(x, c.x) : place.target(x),
          p.accumulate ? place.parameter(weight, c.weight) : place.parameter_target(weight),
          place.parameter({p.k}, c.bias),
          place.activation(y, c.residual)};
}

// The result of `run`, or nothing where the device failed.
inline std::optional<Values> result_of(const Conv2dSolver& solver, SolverRun run, const Place& place,
                                       const Case& c, int multiprocessors = 0) {
  Conv2dProblem p = c.problem;
  p.x_block = place.is_cuda() ? p.c : 1, p.y_block = place.is_cuda() ? p.k : 1;
  const GradMode mode = p.accumulate ? GradMode::Accumulate : GradMode::Overwrite;
  const CaseTensors t = tensors_of(place, c);
  const TensorPtr prepared =
      solver.prepare
          ? make_tensor(place.stream, {static_cast<int64_t>(solver.prepared_bytes(p) / 4)}, DType::Float32)
          : nullptr;
  const TensorPtr& target = p.pass == Conv2dPass::Forward     ? t.y
                            : p.pass == Conv2dPass::GradInput ? t.dx
                                                              : t.dweight;
  Conv2dBuffers b{};
  b.x = t.x->in_layout(p.x_block);
  const float* const weight = t.weight->in_layout(1);
  b.weight = prepared ? prepared->target_in_layout(1) : weight;
  b.bias = p.has_bias ? t.bias->in_layout(1) : nullptr;
  b.residual = p.has_residual ? t.residual->in_layout(p.y_block) : nullptr;
  b.dy = t.dy->in_layout(p.y_block);
  if (p.pass == Conv2dPass::Forward) b.y = target->target_in_layout(p.y_block);
  if (p.pass == Conv2dPass::GradInput) b.dx = target->target_in_layout(p.x_block, mode);
  if (p.pass == Conv2dPass::GradWeight) b.dweight = target->target_in_layout(1, mode);
  place.stream->submit([=](const ExecutionContext& context) {
    if (!multiprocessors) {
      run(p, b, context);
      return;
    }
    // The size of the device decides how work is dealt out.
    auto& device = const_cast<cuda::CudaContext&>(cuda::cuda_context(context));
    const int real = std::exchange(device.multiprocessors, multiprocessors);
    if (solver.prepare) solver.prepare(p, weight, const_cast<float*>(b.weight), context);
    run(p, b, context);
    device.multiprocessors = real;
  });
  try {
    return download(*target);
  } catch (const Error&) {
#ifdef GROUPCONV_EMULATED
    emulator::forget_failure();
#endif
    return std::nullopt;
  }
}

inline Values expected(const Case& c) {
  Case plain = c;
  plain.problem.dtype = DType::Float32;
  plain.problem.x_block = plain.problem.y_block = 1;
  for (const Conv2dSolver* solver : conv2d_registry().list(DeviceKind::Cpu))
    if (std::string(solver->name) == "reference" && solver->accepts(plain.problem))
      return *result_of(*solver, solver->run, {cpu_stream(), c.problem.dtype}, plain);
  return {};
}

inline double tolerance(const Conv2dProblem& p) {
  return p.dtype == DType::Float32 || p.pass == Conv2dPass::GradWeight ? 2e-6
         : p.dtype == DType::BFloat16                                  ? 2e-3
                                                                       : 2.5e-4;
}

// Without TF32.
inline Conv2dProblem problem_of(Conv2dPass pass, DType dtype, int per_group, int stride, int channels,
                                std::array<int, 3> size) {
  Conv2dProblem p = conv2d_problem({size[0], channels, size[1], size[2]}, {channels, per_group, 3, 3},
                                   {{stride, stride}, {1, 1}, {1, 1, 1, 1}, channels / per_group});
  p.pass = pass, p.dtype = dtype;
  return p;
}

inline void check_case(const Conv2dSolver* solver, const Conv2dProblem& p, int multiprocessors) {
  std::ostringstream text;
  text << name_of(p.dtype) << ' ' << p << (p.accumulate ? " accumulate" : "") << " on " << multiprocessors
       << " multiprocessors";
  CHECK_NOTE(solver != nullptr, text.str());
  if (!solver) return;
  const Case c = make_case(p);
  const Values wanted = expected(c);
  std::optional<Values> first;
  for_thread_orders([&](const char* order) {
    const auto found = result_of(*solver, solver->run, {cuda_stream(), p.dtype}, c, multiprocessors);
    const std::string note = text.str() + ", " + order;
    CHECK_NOTE(found.has_value(), "failed: " + note);
    if (!found) return;
    const double error = relative_error(*found, wanted);
    CHECK_NOTE(error <= tolerance(p), note + " error " + std::to_string(error * 1e6) + "e-6");
    if (first) CHECK_NOTE(same_bits(*first, *found), "bitwise " + note);
    first = found;
  });
  CHECK_NOTE(cuda_stream()->intact(), "written beside an allocation: " + text.str());
}

constexpr Conv2dPass kPasses[] = {Conv2dPass::Forward, Conv2dPass::GradInput, Conv2dPass::GradWeight};

}  // namespace groupconv::test
