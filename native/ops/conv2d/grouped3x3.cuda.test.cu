// The tensor-core kernels for grouped 3x3 convolution: every pass, group size, stride and type against the
// CPU's reference, on devices of several sizes; and kernels with a flaw, which must be noticed.
#include "ops/conv2d/grouped3x3.solvers.cuda.h"
#include "ops/conv2d/grouped3x3.testing.cuda.h"

namespace groupconv {
namespace cuda {
extern const Conv2dTable conv2d_grouped3x3, conv2d_grouped3x3_grad_weight, conv2d_grouped3x3_tf32;
}
namespace {

using namespace cuda::grouped3x3;
using namespace test;

const Conv2dSolver* solver_for(const Conv2dProblem& p) {
  return solver_of(
      {&cuda::conv2d_grouped3x3, &cuda::conv2d_grouped3x3_grad_weight, &cuda::conv2d_grouped3x3_tf32}, p);
}

// Images: one pixel; narrow ones side by side, in one set and in two; ragged; several strips.
constexpr std::array<int, 3> kSizes[] = {{1, 1, 1},   {1, 7, 7},  {9, 7, 7},
                                         {2, 13, 19}, {1, 3, 70}, {3, 5, 14}};

void check_all() {
  int count = 0;
  CHECK(!solver_for(problem_of(Conv2dPass::Forward, DType::Float32, 8, 1, 32, {1, 7, 7})));
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
            p.tf32 = 1;
            if (pass == Conv2dPass::Forward) {
              p.has_bias = count % 2;
              p.has_residual = count / 2 % 2;
              p.activation = std::array{Activation::None, Activation::Relu, Activation::Relu6}[count / 4 % 3];
            } else {
              p.accumulate = count / 3 % 2;
            }
            const int multiprocessors = std::array{1, 2, 7, 40}[count++ % 4];
            check_case(solver_for(p), p, multiprocessors);
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

static void tests() {
  groupconv::check_all();
#ifdef GROUPCONV_EMULATED
  groupconv::check_flaws();
#endif
}

int main() { return groupconv::test::on_a_device(tests); }
