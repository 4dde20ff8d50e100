// Every solver on every instruction set and thread count against the float64 reference, through the door;
// guards; norms worked out by hand, and those that are not finite.
#include "ops/clipGradNorm/clipGradNorm.h"

#include "core/check.h"
#include "cpu/everywhere.h"
#include "cpu/stream.h"

namespace groupconv {
namespace {

using test::Guarded;
using Values = std::vector<float>;

// The norm, then all gradients after clipping.
Values clip(const char* solver, const std::vector<Shape>& shapes, double max_norm, double factor) {
  clip_grad_norm_registry().force(solver);
  const auto stream = std::make_shared<CpuStream>();
  std::vector<TensorPtr> owned;
  std::vector<Tensor*> gradients;
  for (uint32_t i = 0; i < shapes.size(); ++i) {
    const Values values = test::hashed_values(i, static_cast<size_t>(shapes[i].size()));
    owned.push_back(test::tensor_of(stream, shapes[i], values));
    if (shapes[i].rank() == 4) owned.back()->in_layout(stream->activation_block(shapes[i][1]));
    gradients.push_back(owned.back().get());
  }
  owned.insert(owned.begin(), clip_grad_norm(gradients, max_norm, factor));
  clip_grad_norm_registry().force("");
  return test::values_of(owned);
}

void check_solvers() {
  const std::vector<Shape> shapes{{3}, {16, 7, 3, 3}, {40000}, {1}, {257}};
  for (double factor : {1.0, 1.0 / 65536})
    for (double max_norm : {0.5, 1e9, double{INFINITY}})
      test::check_everywhere(clip("reference", shapes, max_norm, factor), 1e-7,
                             std::to_string(factor) + " norm " + std::to_string(max_norm),
                             [&] { return clip("vectorised", shapes, max_norm, factor); });
}

void check_guards() {
  for (Isa isa : available_isas()) {
    force_isa(isa);
    for (int64_t size : {1, 7, 256, 300}) {
      Guarded gradient(Values(size, 3.0f)), norm(1), workspace(2);
      const GradientChunk chunk{gradient.data(), size};
      const ClipGradNormProblem p{1, 1, 1};
      for (const ClipGradNormSolver* solver : clip_grad_norm_registry().list(DeviceKind::Cpu))
        solver->run(p, {&chunk, norm.data(), workspace.data()}, CpuContext(1));
      CHECK(gradient.intact() && norm.intact() && workspace.intact());
    }
  }
}

void check_by_hand() {
  const auto stream = std::make_shared<CpuStream>();
  const auto make = [&](const Values& values) {
    return test::tensor_of(stream, {static_cast<int64_t>(values.size())}, values);
  };
  const auto value = [&](const TensorPtr& tensor) {
    const float* memory = tensor->in_layout(1);
    stream->synchronize();
    return *memory;
  };
  const TensorPtr a = make({3, 0}), b = make({4});
  CHECK(value(clip_grad_norm({a.get(), b.get()}, 10)) == 5 && value(a) == 3);
  CHECK(value(clip_grad_norm({a.get(), b.get()}, 1)) == 5);
  CHECK(std::fabs(value(a) - 0.6f) < 1e-6 && std::fabs(value(b) - 0.8f) < 1e-6);
  const TensorPtr scaled = make({6, 8});
  CHECK(value(clip_grad_norm({scaled.get()}, INFINITY, 0.5)) == 5 && value(scaled) == 3);
  CHECK(value(clip_grad_norm({scaled.get()}, 1, 2)) == 10 && std::fabs(value(scaled) - 0.6f) < 1e-6);
  const TensorPtr endless = make({INFINITY, 1}), lost = make({NAN, 1});
  CHECK(std::isinf(value(clip_grad_norm({endless.get()}, 1))) && std::isnan(value(endless)));
  CHECK(std::isnan(value(clip_grad_norm({lost.get(), b.get()}, 1))) && std::isnan(value(b)));
  for (const auto& call : std::vector<std::function<void()>>{
           [] { clip_grad_norm({}, 1); }, [&] { clip_grad_norm({a.get()}, 0); },
           [&] { clip_grad_norm({a.get()}, 1, 0); }, [&] { clip_grad_norm({a.get()}, 1, INFINITY); },
           [&] { clip_grad_norm({a.get()}, NAN); }})
    test::check_throws(ErrorCode::InvalidArgument, "", call);
}

}  // namespace
}  // namespace groupconv

int main() {
  using namespace groupconv;
  check_solvers();
  check_guards();
  check_by_hand();
  return test::report();
}
