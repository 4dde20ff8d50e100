// Every CUDA solver against the CPU's reference, through the doors; and that a missing barrier in the matrix
// product would be noticed.
#include "cuda/testing.h"
#include "ops/linear/linear.gemm.cuda.h"
#include "ops/linear/linear.h"

namespace groupconv {
namespace cuda {
extern const LinearTable linear_tiles;
}
namespace {

constexpr double kFloat32 = 3e-6;

void check(int64_t rows, int64_t in, int64_t out, DType dtype, bool variant) {
  const Shape x{rows, in}, weight{out, in}, y{rows, out};
  const GradMode mode = variant ? GradMode::Accumulate : GradMode::Overwrite;
  const auto precision = test::activation_tolerance(dtype, kFloat32);
  test::check_on_cuda(linear_registry(), dtype, precision, "forward", [&](const test::Place& on) {
    const TensorPtr bias = variant ? on.parameter({out}, 3) : nullptr;
    return test::Tensors{linear(*on.activation(x, 1), *on.parameter(weight, 2), bias.get())};
  });
  test::check_on_cuda(linear_registry(), dtype, precision, "gradInput", [&](const test::Place& on) {
    const TensorPtr dx = variant ? on.activation(x, 5) : on.target(x);
    linear_grad_input(*on.activation(y, 4), *on.parameter(weight, 2), *dx, mode);
    return test::Tensors{dx};
  });
  test::check_on_cuda(linear_registry(), dtype, test::parameter_tolerance(dtype, kFloat32), "gradWeight",
                      [&](const test::Place& on) {
                        const TensorPtr dweight =
                            variant ? on.parameter(weight, 6) : on.parameter_target(weight);
                        linear_grad_weight(*on.activation(x, 1), *on.activation(y, 4), *dweight, mode);
                        return test::Tensors{dweight};
                      });
}

#ifdef GROUPCONV_EMULATED
struct NoBarrier {
  __device__ void operator()() const {}
};
#endif
struct Store {
  float* c;
  __device__ void operator()(int64_t i, int64_t j, int64_t, float sum) const { c[i * 64 + j] = sum; }
};

// C [64, 64] of A [64, 40] and B [40, 64].
template <class Barrier>
test::Values product() {
  using cuda::Stored;
  const auto& stream = test::cuda_stream();
  const TensorPtr a = test::upload(stream, {64, 40}, test::hashed_values(1, 64 * 40)),
                  b = test::upload(stream, {40, 64}, test::hashed_values(2, 64 * 40)),
                  c = make_tensor(stream, {64, 64}, DType::Float32);
  stream->submit([left = a->in_layout(1), right = b->in_layout(1),
                  store = Store{c->target_in_layout(1)}](const ExecutionContext& context) {
    const cuda::GemmShape shape{64, 64, 40, 48};
    cuda::launch(context, cuda::gemm_grid(shape), cuda::kGemmThreads, 0,
                 cuda::gemm<float, Stored::Along, float, Stored::Across, Store, Barrier>, shape, left, right,
                 store);
  });
  return test::download(*c);
}

bool right(const test::Values& c) {
  const test::Values a = test::hashed_values(1, 64 * 40), b = test::hashed_values(2, 64 * 40);
  test::Values expected(64 * 64);
  for (int i = 0; i < 64; ++i)
    for (int j = 0; j < 64; ++j)
      for (int l = 0; l < 40; ++l) expected[i * 64 + j] += a[i * 40 + l] * b[l * 64 + j];
  return test::relative_error(c, expected) < 1e-6;
}

#ifdef GROUPCONV_EMULATED
// More tiles than the short sides of a grid have.
void many_rows() {
  const auto& solver = *cuda::linear_tiles.first;
  for (const LinearPass pass : {LinearPass::Forward, LinearPass::GradInput}) {
    LinearProblem p{};
    p.pass = pass, p.rows = 5000000, p.in = 40, p.out = 4;
    test::cuda_stream()->submit(
        [&, p](const ExecutionContext& context) { solver.run(p, LinearBuffers{}, context); });
    test::cuda_stream()->synchronize();
  }
}
#endif

void say_what_is_noticed() {
  test::must_notice(linear_registry(), "thin", "exchange launch block thread",
                    {{"the last feature is left out", [](auto& p, auto&) { p.in -= p.in > 1; }},
                     {"the last output is left out", [](auto& p, auto&) { p.out -= p.out > 1; }},
                     {"the last row is left out", [](auto& p, auto&) { p.rows -= p.rows > 1; }},
                     {"no bias", [](auto& p, auto&) { p.has_bias = false; }}});
  test::must_notice(linear_registry(), "tiles", "barrier launch block thread",
                    {{"the last feature is left out", [](auto& p, auto&) { p.in -= p.in > 1; }},
                     {"the last output is left out", [](auto& p, auto&) { p.out -= p.out > 1; }},
                     {"the last row is left out", [](auto& p, auto&) { p.rows -= p.rows > 1; }},
                     {"no bias", [](auto& p, auto&) { p.has_bias = false; }},
                     {"added to what was there", [](auto& p, auto&) { p.accumulate = true; }},
                     {"not added to what was there", [](auto& p, auto&) { p.accumulate = false; }}});
}

}  // namespace
}  // namespace groupconv

static void tests() {
  using namespace groupconv;
  say_what_is_noticed();
  for (const DType dtype : test::kDTypes)
    for (const bool variant : {false, true}) {
      check(1, 1, 1, dtype, variant);
      check(3, 40, 7, dtype, variant);
      check(8, 33, 10, dtype, variant);
      check(65, 17, 66, dtype, variant);
      check(70, 600, 30, dtype, variant);  // several parts
      check(300, 20, 9, dtype, variant);
    }
  test::for_thread_orders([](const char* order) { CHECK_NOTE(right(product<cuda::BlockBarrier>()), order); });
#ifdef GROUPCONV_EMULATED
  emulator::only_checked = true;
  many_rows();
  emulator::only_checked = false;
  // a GPU may be lucky
  test::for_thread_orders([](const char* order) { CHECK_NOTE(!right(product<NoBarrier>()), order); });
#endif
}

int main() { return groupconv::test::on_a_device(tests); }
