// The tensor-core kernels for grouped 3x3 convolution: every pass, group size, stride and type against the
// CPU's reference, on devices of several sizes; and kernels with a flaw, which must be noticed.
#include <optional>
#include <sstream>

#include "cuda/testing.h"
#include "ops/conv2d/grouped3x3.solvers.cuda.h"

namespace groupconv {
namespace cuda {
extern const Conv2dTable conv2d_grouped3x3, conv2d_grouped3x3_grad_weight, conv2d_grouped3x3_tf32;
}
namespace {

using namespace cuda::grouped3x3;
using test::Place;
using test::Values;
using SolverRun = void (*)(const Conv2dProblem&, const Conv2dBuffers&, const ExecutionContext&);

// Everything a problem needs, on one device. Values are numbers of the dtype; for float32, of TF32: so what
// remains is the rounding of sums and of 16-bit results.
struct Case {
  Conv2dProblem problem;
  Values x, weight, y, bias, residual;
};

Values rounded(Values values, DType dtype) {
  for (float& value : values)
    if (dtype == DType::Float32)
      value = std::round(value * 1024) / 1024;
    else if (dtype == DType::Float16)
      value = std::round(value * 512) / 512;
    else
      value = std::round(value * 64) / 64;
  return values;
}

Case make_case(const Conv2dProblem& p) {
  const auto values = [&](uint32_t seed, int64_t size) {
    return rounded(test::hashed_values(seed, static_cast<size_t>(size)), p.dtype);
  };
  const int64_t x = int64_t{p.n} * p.c * p.h * p.w, y = int64_t{p.n} * p.k * p.p * p.q;
  return {
      p,           values(1, x), values(2, p.k * p.channels_per_group() * 9), values(3, y), values(4, p.k),
      values(5, y)};
}

struct Tensors {
  TensorPtr x, weight, y, dy, dx, dweight, bias, residual;
};
// Targets hold the values that an accumulation adds to, or nothing.
Tensors on(const Place& place, const Case& c) {
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
std::optional<Values> result_of(const Conv2dSolver& solver, SolverRun run, const Place& place, const Case& c,
                                int multiprocessors = 0) {
  Conv2dProblem p = c.problem;
  p.x_block = place.is_cuda() ? p.c : 1, p.y_block = place.is_cuda() ? p.k : 1;
  const GradMode mode = p.accumulate ? GradMode::Accumulate : GradMode::Overwrite;
  const Tensors t = on(place, c);
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
    return test::download(*target);
  } catch (const Error&) {
#ifdef GROUPCONV_EMULATED
    emulator::forget_failure();
#endif
    return std::nullopt;
  }
}

Values expected(const Case& c) {
  Case plain = c;
  plain.problem.dtype = DType::Float32;
  plain.problem.x_block = plain.problem.y_block = 1;
  for (const Conv2dSolver* solver : conv2d_registry().list(DeviceKind::Cpu))
    if (std::string(solver->name) == "reference" && solver->accepts(plain.problem))
      return *result_of(*solver, solver->run, {test::cpu_stream(), c.problem.dtype}, plain);
  return {};
}

double tolerance(const Conv2dProblem& p) {
  return p.dtype == DType::Float32 || p.pass == Conv2dPass::GradWeight ? 2e-6
         : p.dtype == DType::BFloat16                                  ? 2e-3
                                                                       : 2.5e-4;
}

const Conv2dSolver* solver_for(Conv2dProblem p) {
  p.x_block = p.c, p.y_block = p.k;
  for (const Conv2dTable* table :
       {&cuda::conv2d_grouped3x3, &cuda::conv2d_grouped3x3_grad_weight, &cuda::conv2d_grouped3x3_tf32})
    for (int i = 0; i < table->count; ++i)
      if (table->first[i].accepts(p)) return table->first + i;
  return nullptr;
}

void check_case(const Conv2dProblem& p, int multiprocessors) {
  std::ostringstream text;
  text << name_of(p.dtype) << ' ' << p << (p.accumulate ? " accumulate" : "") << " on " << multiprocessors
       << " multiprocessors";
  const Conv2dSolver* solver = solver_for(p);
  CHECK_NOTE(solver != nullptr, text.str());
  if (!solver) return;
  const Case c = make_case(p);
  const Values wanted = expected(c);
  std::optional<Values> first;
  test::for_thread_orders([&](const char* order) {
    const auto found = result_of(*solver, solver->run, {test::cuda_stream(), p.dtype}, c, multiprocessors);
    const std::string note = text.str() + ", " + order;
    CHECK_NOTE(found.has_value(), "failed: " + note);
    if (!found) return;
    const double error = test::relative_error(*found, wanted);
    CHECK_NOTE(error <= tolerance(p), note + " error " + std::to_string(error * 1e6) + "e-6");
    if (first) CHECK_NOTE(test::same_bits(*first, *found), "bitwise " + note);
    first = found;
  });
  CHECK_NOTE(test::cuda_stream()->intact(), "written beside an allocation: " + text.str());
}

Conv2dProblem problem_of(Conv2dPass pass, DType dtype, int per_group, int stride, int channels,
                         std::array<int, 3> size) {
  Conv2dProblem p = conv2d_problem({size[0], channels, size[1], size[2]}, {channels, per_group, 3, 3},
                                   {{stride, stride}, {1, 1}, {1, 1, 1, 1}, channels / per_group});
  p.pass = pass, p.dtype = dtype, p.tf32 = 1;
  return p;
}

constexpr Conv2dPass kPasses[] = {Conv2dPass::Forward, Conv2dPass::GradInput, Conv2dPass::GradWeight};

// Images: one pixel; narrow ones side by side, in one set and in two; ragged; several strips.
constexpr std::array<int, 3> kSizes[] = {{1, 1, 1},   {1, 7, 7},  {9, 7, 7},
                                         {2, 13, 19}, {1, 3, 70}, {3, 5, 14}};

void check_all() {
  int count = 0;
  Conv2dProblem exact = problem_of(Conv2dPass::Forward, DType::Float32, 8, 1, 32, {1, 7, 7});
  exact.tf32 = 0;
  CHECK(!solver_for(exact));
  for (const DType dtype : {DType::BFloat16, DType::Float16, DType::Float32})
    for (const int per_group : {4, 8, 16, 32})
      for (const int stride : {1, 2})
        for (const Conv2dPass pass : kPasses)
          for (size_t i = 0; i < std::size(kSizes); ++i) {
            const auto& size = kSizes[i];
            // All sizes meet in turns; the other types share all but conversions with bfloat16.
            const size_t turn = i + per_group / 4 + stride + static_cast<size_t>(pass);
            if (dtype == DType::BFloat16 ? turn % 3 == 0 : turn % 6 != static_cast<size_t>(dtype)) continue;
            // Whole slabs, part of one, more than one.
            const int slab = 128 / static_cast<int>(size_of(dtype));
            const int channels = count % 3 == 0 ? slab : count % 3 == 1 ? 32 : slab + 32;
            Conv2dProblem p = problem_of(pass, dtype, per_group, stride, channels, size);
            if (pass == Conv2dPass::Forward) {
              p.has_bias = count % 2;
              p.has_residual = count / 2 % 2;
              p.activation = std::array{Activation::None, Activation::Relu, Activation::Relu6}[count / 4 % 3];
            } else {
              p.accumulate = count / 3 % 2;
            }
            const int multiprocessors = std::array{1, 2, 7, 40}[count++ % 4];
            check_case(p, multiprocessors);
          }
  std::printf("%d cases\n", count);
}

#ifdef GROUPCONV_EMULATED
// A kernel with a flaw gives another result, or fails, in one order of threads at least. A GPU may be lucky,
// or fail for good: some read and write beside their tensors.
template <class T, class Shape, Flaw kFlaw>
void check_noticed(const char* what, Conv2dPass pass, int per_group, int stride, std::array<int, 3> size) {
  const DType dtype = DType::BFloat16;
  const Conv2dProblem p = problem_of(pass, dtype, per_group, stride, 64, size);
  const Conv2dSolver& solver = *solver_for(p);
  SolverRun flawed;
  if constexpr (std::is_same_v<Shape, GradWeightTile<T, Shape::kSquare, Shape::kStride>>)
    flawed = run_grad_weight_shape<Shape, kFlaw>;
  else
    flawed = run_shape<Shape, kFlaw>;
  const Case c = make_case(p);
  const Values wanted = expected(c);
  bool noticed = false;
  test::for_thread_orders([&](const char*) {
    const auto found = result_of(solver, flawed, {test::cuda_stream(), dtype}, c, 2);
    noticed = noticed || !found || !(test::relative_error(*found, wanted) <= tolerance(p));
  });
  CHECK_NOTE(noticed, what);
}

void check_flaws() {
  using T = cuda::BFloat16;
  using Forward = ConvolveTile<T, 16, 1>;
  using Spread = SpreadTile<T, 16>;
  using Weight = GradWeightTile<T, 16, 1>;
  constexpr auto kForward = Conv2dPass::Forward, kGradInput = Conv2dPass::GradInput,
                 kGradWeight = Conv2dPass::GradWeight;
  const std::array<int, 3> size{2, 9, 13};
  check_noticed<T, Forward, Flaw::NoBarrier>("no barrier, forward", kForward, 8, 1, size);
  check_noticed<T, Forward, Flaw::HalvesSwapped>("halves of a step swapped, forward", kForward, 16, 1, size);
  check_noticed<T, Forward, Flaw::NoMask>("no zeros beside the image, forward", kForward, 8, 1, size);
  check_noticed<T, Forward, Flaw::NoTail>("targets past the row, forward", kForward, 8, 1, size);
  check_noticed<T, Spread, Flaw::NoBarrier>("no barrier, gradInput", kGradInput, 8, 2, size);
  check_noticed<T, Spread, Flaw::HalvesSwapped>("halves of a step swapped, gradInput", kGradInput, 16, 2,
                                                size);
  check_noticed<T, Spread, Flaw::WrongPhase>("columns of the wrong phase, gradInput", kGradInput, 8, 2, size);
  check_noticed<T, Weight, Flaw::NoBarrier>("no barrier, gradWeight", kGradWeight, 8, 1, size);
  check_noticed<T, Weight, Flaw::NoMask>("no zeros beside the image, gradWeight", kGradWeight, 8, 1, size);
}
#endif

}  // namespace
}  // namespace groupconv

int main() {
  groupconv::check_all();
#ifdef GROUPCONV_EMULATED
  groupconv::check_flaws();
#endif
  return groupconv::test::report();
}
