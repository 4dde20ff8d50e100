// The float32 kernels for grouped 3x3 convolution on CUDA cores: every pass, group size and stride against
// the CPU's reference, on devices of several sizes; and kernels with a flaw, which must be noticed.
#include "ops/conv2d/grouped3x3.fma.launch.cuda.h"
#include "ops/conv2d/grouped3x3.testing.cuda.h"

namespace groupconv {
namespace cuda {
extern const Conv2dTable conv2d_grouped3x3_float32, conv2d_grouped3x3_float32_grad_weight;
}
namespace {

using namespace cuda::grouped3x3;
using namespace test;

const Conv2dSolver* solver_for(const Conv2dProblem& p) {
  return solver_of({&cuda::conv2d_grouped3x3_float32, &cuda::conv2d_grouped3x3_float32_grad_weight}, p);
}

Conv2dProblem float32_problem(Conv2dPass pass, int per_group, int stride, int channels,
                              std::array<int, 3> size) {
  return problem_of(pass, DType::Float32, per_group, stride, channels, size);
}

void check_what_is_accepted() {
  Conv2dProblem p = float32_problem(Conv2dPass::Forward, 8, 1, 32, {1, 7, 7});
  CHECK(solver_for(p));
  p.tf32 = 1;
  CHECK(solver_for(p));
  p.dtype = DType::BFloat16;
  CHECK(!solver_for(p));
  CHECK(!solver_for(float32_problem(Conv2dPass::Forward, 5, 1, 40, {1, 7, 7})));
  p = float32_problem(Conv2dPass::Forward, 8, 1, 32, {1, 7, 7});
  p.pad_left = 0;
  CHECK(!solver_for(p));
}

// Images: one pixel; two; narrow ones side by side, in one set and in two; ragged; several strips.
constexpr std::array<int, 3> kSizes[] = {{1, 1, 1},   {3, 2, 1},   {1, 7, 7},  {9, 7, 7},
                                         {2, 13, 19}, {1, 14, 14}, {1, 3, 70}, {3, 5, 14}};

void check_all() {
  int count = 0;
  for (const int per_group : {4, 8, 16, 32})
    for (const int stride : {1, 2})
      for (const Conv2dPass pass : kPasses)
        for (const auto& size : kSizes) {
          // Whole slabs, more than one, a part of one, one group alone.
          const int channels = std::array{32, 96, 32 + per_group, per_group}[count % 4];
          Conv2dProblem p = float32_problem(pass, per_group, stride, channels, size);
          if (pass == Conv2dPass::Forward) {
            p.has_bias = count / 2 % 2;
            p.has_residual = count / 3 % 2;
            p.activation = std::array{Activation::None, Activation::Relu, Activation::Relu6}[count / 5 % 3];
          } else {
            p.accumulate = count / 3 % 2;
          }
          const int multiprocessors = std::array{1, 2, 7, 40, 132}[count++ % 5];
          check_case(solver_for(p), p, multiprocessors);
        }
  // Rows and columns that end in the middle of everything.
  for (const Conv2dPass pass : kPasses)
    for (const int stride : {1, 2})
      check_case(solver_for(float32_problem(pass, 4, stride, 36, {1, 57, 57})),
                 float32_problem(pass, 4, stride, 36, {1, 57, 57}), 3);
  std::printf("%d cases\n", count);
}

#ifdef GROUPCONV_EMULATED
// A kernel with a flaw gives another result, or fails, in one order of threads at least. A GPU may be lucky,
// or fail for good: some read and write beside their tensors.
template <class Shape, Flaw kFlaw>
void check_noticed(const char* what, Conv2dPass pass, int stride) {
  constexpr int kPerGroup = Shape::kPerGroup;
  Conv2dProblem p = float32_problem(pass, kPerGroup, stride, 2 * kPerGroup, {2, 9, 13});
  p.accumulate = pass != Conv2dPass::Forward;
  SolverRun flawed;
  if constexpr (std::is_same_v<Shape, FmaWeightTile<kPerGroup, Shape::kStride>>)
    flawed = run_fma_grad_weight_shape<Shape, kFlaw>;
  else
    flawed = run_fma_shape<Shape, kFlaw>;
  const Case c = make_case(p);
  const Values wanted = expected(c);
  bool noticed = false;
  for_thread_orders([&](const char*) {
    const auto found = result_of(*solver_for(p), flawed, {cuda_stream(), DType::Float32}, c, 2);
    noticed = noticed || !found || !(relative_error(*found, wanted) <= tolerance(p));
  });
  CHECK_NOTE(noticed, what);
}

void check_flaws() {
  using Forward = FmaTile<16, 1, false>;
  using Halving = FmaTile<16, 2, false>;
  using Spread = FmaTile<16, 1, true>;
  using Weight = FmaWeightTile<8, 1>;
  using HalvingWeight = FmaWeightTile<8, 2>;
  constexpr auto kForward = Conv2dPass::Forward, kGradInput = Conv2dPass::GradInput,
                 kGradWeight = Conv2dPass::GradWeight;
  check_noticed<Forward, Flaw::NoBarrier>("no barrier, forward", kForward, 1);
  check_noticed<Forward, Flaw::NoMask>("no zeros beside the image, forward", kForward, 1);
  check_noticed<Forward, Flaw::NoTail>("targets past the row, gradInput at stride 1", kGradInput, 1);
  check_noticed<Forward, Flaw::OneShare>("half of the input channels, forward", kForward, 1);
  check_noticed<Halving, Flaw::NoBarrier>("no barrier, forward at stride 2", kForward, 2);
  check_noticed<Halving, Flaw::OneShare>("a quarter of the input channels, forward at stride 2", kForward, 2);
  check_noticed<Spread, Flaw::NoBarrier>("no barrier, gradInput", kGradInput, 2);
  check_noticed<Spread, Flaw::NoTail>("targets past the row, gradInput", kGradInput, 2);
  check_noticed<Spread, Flaw::OneShare>("a quarter of the input channels, gradInput", kGradInput, 2);
  check_noticed<Spread, Flaw::WrongPhase>("columns of the wrong phase, gradInput", kGradInput, 2);
  check_noticed<Weight, Flaw::NoBarrier>("no barrier, gradWeight", kGradWeight, 1);
  check_noticed<Weight, Flaw::NoMask>("no zeros beside the image, gradWeight", kGradWeight, 1);
  check_noticed<Weight, Flaw::StaleRows>("rows of dy of the run before, gradWeight", kGradWeight, 1);
  check_noticed<HalvingWeight, Flaw::StaleRows>("rows of dy of the run before, stride 2", kGradWeight, 2);
}
#endif

}  // namespace
}  // namespace groupconv

static void tests() {
  groupconv::check_what_is_accepted();
  groupconv::check_all();
#ifdef GROUPCONV_EMULATED
  groupconv::check_flaws();
#endif
}

int main() { return groupconv::test::on_a_device(tests); }
