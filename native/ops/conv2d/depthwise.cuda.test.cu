// The depthwise CUDA kernels against the CPU's reference, through the doors: all types, kernel sizes and
// strides, borders of every kind, and shapes whose threads, tiles and parts have rests. Taps that are off by
// one, a missing barrier and rows that don't move on must be noticed.
#include <sstream>

#include "cuda/testing.h"
#include "ops/conv2d/conv2d.h"
#include "ops/conv2d/depthwise.correlate.cuda.h"
#include "ops/conv2d/depthwise.gradWeight.cuda.h"

namespace groupconv {
namespace {

using test::Place;
using test::Tensors;
using test::Values;

struct Case {
  Shape x;
  int kernel, stride;
  std::array<int32_t, 4> padding;
};

double tolerance(DType dtype) { return dtype == DType::Float32 ? 2e-6 : test::rounding(dtype); }

void check_case(const Case& c, DType dtype) {
  const int64_t channels = c.x[1];
  const Shape weight{channels, 1, c.kernel, c.kernel};
  const Conv2dGeometry geometry{{c.stride, c.stride}, {1, 1}, c.padding, static_cast<int32_t>(channels)};
  Conv2dProblem p = conv2d_problem(c.x, weight, geometry);
  conv2d_set_stream(p, *test::cuda_stream());
  CHECK(cuda::depthwise::is_depthwise(p));  // so the solver is among those that are checked
  const Shape y{p.n, p.k, p.p, p.q};
  std::ostringstream what;
  what << p;
  const auto check = [&](const auto& tolerance, const test::Run& run) {
    test::check_on_cuda(conv2d_registry(), dtype, tolerance, what.str(), run);
  };
  for (const Activation activation : {Activation::None, Activation::Relu, Activation::Relu6})
    check(tolerance(dtype), [&](const Place& on) {
      const TensorPtr bias = on.parameter({channels}, 3), residual = on.activation(y, 4);
      const bool plain = activation == Activation::None;
      return Tensors{conv2d(*on.activation(c.x, 1), *on.parameter(weight, 2), plain ? nullptr : bias.get(),
                            nullptr, {plain ? nullptr : residual.get(), activation == Activation::Relu6},
                            activation, geometry)};
    });
  for (const GradMode mode : {GradMode::Overwrite, GradMode::Accumulate}) {
    const bool fresh = mode == GradMode::Overwrite;
    check(tolerance(dtype), [&](const Place& on) {
      const TensorPtr dx = fresh ? on.target(c.x) : on.activation(c.x, 5);
      conv2d_grad_input(*on.activation(y, 6), *on.parameter(weight, 2), geometry, *dx, mode);
      return Tensors{dx};
    });
    check(test::parameter_tolerance(dtype, tolerance(DType::Float32)), [&](const Place& on) {
      const TensorPtr dweight = fresh ? on.parameter_target(weight) : on.parameter(weight, 5);
      conv2d_grad_weight(*on.activation(c.x, 1), *on.activation(y, 6), geometry, *dweight, mode);
      return Tensors{dweight};
    });
  }
}

void check_cases() {
  for (const DType dtype : test::kDTypes)
    for (const int kernel : {3, 5})
      for (const int stride : {1, 2}) {
        const int same = kernel / 2;
        const Case cases[] = {
            {{2, 8, 7, 7}, kernel, stride, {same, same, same, same}},
            {{1, 12, 9, 18}, kernel, stride, {same, same, same, same}},
            {{3, 4, 14, 5}, kernel, stride, {0, 0, 0, 0}},
            {{2, 72, 6, 6}, kernel, stride, {0, 1, 1, 0}},          // two slices
            {{2, 8, 8, 9}, kernel, stride, {kernel + 1, 1, 2, 3}},  // outputs that see padding alone
            {{9, 16, 5, 5}, kernel, stride, {1, 2, 0, 1}},          // several images per block
            {{1, 4, 40, 41}, kernel, stride, {same, same, same, same}},
            {{1, 260, 5, 5}, kernel, stride, {same, same, same, same}},
        };
        for (const Case& c : cases) check_case(c, dtype);
      }
}

// Kernels without their solvers: walks of any length, which only large problems on large devices have, and
// kernels with a flaw.
using cuda::depthwise::Flaw;
enum class Pass { Forward, GradInput, GradWeight };
constexpr const char* kNames[] = {"depthwise forward", "depthwise gradInput", "depthwise gradWeight"};
struct Direct {
  Conv2dProblem problem;
  Conv2dGeometry geometry;
  Shape x, weight, y;
};

Direct direct_of(const Case& c, DType dtype) {
  const Shape weight{c.x[1], 1, c.kernel, c.kernel};
  const Conv2dGeometry geometry{{c.stride, c.stride}, {1, 1}, c.padding, static_cast<int32_t>(c.x[1])};
  Conv2dProblem p = conv2d_problem(c.x, weight, geometry);
  p.dtype = dtype, p.x_block = p.c, p.y_block = p.k;
  return {p, geometry, c.x, weight, {p.n, p.k, p.p, p.q}};
}

template <Flaw kFlaw>
Values run_kernel(const Direct& d, Pass pass, const Place& on, int steps) {
  const Conv2dProblem& p = d.problem;
  const TensorPtr x = on.activation(d.x, 1), weight = on.parameter(d.weight, 2), dy = on.activation(d.y, 6);
  const TensorPtr target =
      pass == Pass::GradWeight ? on.parameter_target(d.weight) : on.target(pass == Pass::Forward ? d.y : d.x);
  const size_t bytes = cuda::depthwise::grad_weight_bytes(p);
  const TensorPtr partials = on.parameter_target({static_cast<int64_t>(bytes / sizeof(float))});
  Conv2dBuffers b{};
  b.x = x->in_layout(p.c), b.weight = weight->in_layout(1), b.dy = dy->in_layout(p.c);
  float* const to = target->target_in_layout(pass == Pass::GradWeight ? 1 : p.c);
  float* const sums = partials->target_in_layout(1);
  b.y = b.dx = b.dweight = to;
  on.stream->submit([=](const ExecutionContext& context) {
    if (pass == Pass::Forward)
      cuda::depthwise::queue_forward<kFlaw>(p, b, context, steps);
    else if (pass == Pass::GradInput)
      cuda::depthwise::queue_grad_input<kFlaw>(p, b, context, steps);
    else
      cuda::depthwise::queue_grad_weight<kFlaw>(p, b, sums, context);
  });
  return test::download(*target);
}

Values expected(const Direct& d, Pass pass, DType dtype) {
  const Place on{test::cpu_stream(), dtype};
  const TensorPtr x = on.activation(d.x, 1), weight = on.parameter(d.weight, 2), dy = on.activation(d.y, 6);
  if (pass == Pass::Forward)
    return test::download(
        *conv2d(*x, *weight, nullptr, nullptr, {nullptr, false}, Activation::None, d.geometry));
  const TensorPtr target = on.target(pass == Pass::GradInput ? d.x : d.weight);
  if (pass == Pass::GradInput)
    conv2d_grad_input(*dy, *weight, d.geometry, *target, GradMode::Overwrite);
  else
    conv2d_grad_weight(*x, *dy, d.geometry, *target, GradMode::Overwrite);
  return test::download(*target);
}

void check_long_walks() {
  for (const DType dtype : test::kDTypes)
    for (const int kernel : {3, 5})
      for (const int stride : {1, 2})
        for (const int steps : {2, 5, 64}) {
          const Case c{{2, 12, 23, 11}, kernel, stride, {1, 2, 2, 1}};
          const Direct d = direct_of(c, dtype);
          for (const Pass pass : {Pass::Forward, Pass::GradInput})
            test::for_thread_orders([&](const char* order) {
              const Values found = run_kernel<Flaw::None>(d, pass, {test::cuda_stream(), dtype}, steps);
              CHECK_NOTE(test::relative_error(found, expected(d, pass, dtype)) <= tolerance(dtype), order);
            });
        }
  CHECK(test::cuda_stream()->intact());
}

template <Flaw kFlaw>
bool is_right(const Direct& d, Pass pass) {
  const Values found = run_kernel<kFlaw>(d, pass, {test::cuda_stream(), DType::BFloat16}, 6);
  return test::relative_error(found, expected(d, pass, DType::BFloat16)) <=
         tolerance(pass == Pass::GradWeight ? DType::Float32 : DType::BFloat16);
}
void check_flaws() {
  const Direct d = direct_of({{2, 72, 18, 9}, 3, 1, {1, 1, 1, 1}}, DType::BFloat16);  // two slices
  for (const Pass pass : {Pass::Forward, Pass::GradInput, Pass::GradWeight}) {
    test::prove(kNames[static_cast<int>(pass)], [&] {
      test::for_thread_orders([&](const char* order) { CHECK_NOTE(is_right<Flaw::None>(d, pass), order); });
    });
#ifdef GROUPCONV_EMULATED  // elsewhere it would be twice as many kernels to compile
    CHECK(!is_right<Flaw::StaleRows>(d, pass));
#endif
  }
}

// Every tap that joins an input to an output, as the window says, against the definition; `shift` is a flaw.
template <int K, int S, bool Transposed>
int wrong_taps(int extent, int pad, int shift) {
  using Along = cuda::depthwise::Window<K, S, Transposed>;
  int wrong = 0;
  constexpr int kOutputs = 4;
  for (int strip = 0; strip * kOutputs < extent + pad % S; ++strip) {
    const int o = Along::first_output(strip, kOutputs, pad), i = Along::first_input(o, pad);
    for (int a = 0; a < kOutputs; ++a)
      for (int t = 0; t < K; ++t) {
        int found = 0;
        for (int j = 0; j < Along::inputs(kOutputs); ++j)
          if (Along::tap(a, j) + shift == t)
            found += Transposed ? o + a == (i + j) * S + t - pad : i + j == (o + a) * S + t - pad;
        const bool exists = !Transposed || (o + a + pad - t) % S == 0;
        wrong += found != exists;
      }
  }
  return wrong;
}
template <int K, int S>
void check_windows() {
  for (int pad = 0; pad < 8; ++pad) {
    CHECK(wrong_taps<K, S, false>(20, pad, 0) == 0);
    CHECK(wrong_taps<K, S, true>(20, pad, 0) == 0);
    CHECK(wrong_taps<K, S, false>(20, pad, 1) > 0);
    CHECK(wrong_taps<K, S, true>(20, pad, 1) > 0);
  }
}

}  // namespace
}  // namespace groupconv

static void tests() {
  for (const char* name : groupconv::kNames)
    groupconv::test::must_notice(name, "barrier launch block thread");
  groupconv::check_windows<3, 1>();
  groupconv::check_windows<3, 2>();
  groupconv::check_windows<5, 1>();
  groupconv::check_windows<5, 2>();
  groupconv::check_cases();
  groupconv::check_long_walks();
  groupconv::check_flaws();
}

int main() { return groupconv::test::on_a_device(tests); }
