#include "ops/conv2d/conv2d.measure.h"

#include <cstring>

#include "core/tensor.h"

namespace groupconv {
namespace {

// Values in [-1, 1), never zeros: zeros would flatter the power budget and hide mistakes.
void fill(float* data, size_t size) {
  uint32_t state = 12345;
  for (size_t i = 0; i < size; ++i) {
    state = state * 1664525u + 1013904223u;
    data[i] = static_cast<float>(static_cast<int32_t>(state)) / 2147483648.0f;
  }
}

class Memory {
 public:
  Memory(Stream& stream, size_t size) : space_(stream, size * sizeof(float) + 64), size_(size) {
    fill(data(), size);
  }
  float* data() const { return static_cast<float*>(space_.data()); }
  size_t size() const { return size_; }

 private:
  Workspace space_;
  size_t size_;
};

}  // namespace

std::vector<Conv2dMeasurement> measure_conv2d(Stream& stream, const Conv2dProblem& p, int threads,
                                              double budget_seconds, const std::string& which) {
  const auto physical = [](const Shape& shape, int block) {
    return static_cast<size_t>(Tensor::physical_size(shape, block));
  };
  const Memory x(stream, physical({p.n, p.c, p.h, p.w}, p.x_block));
  const Memory y(stream, physical({p.n, p.k, p.p, p.q}, p.y_block));
  const Memory dx(stream, x.size()), dy(stream, y.size()), residual(stream, y.size());
  const Memory weight(stream, static_cast<size_t>(p.k) * p.channels_per_group() * p.r * p.s);
  const Memory dweight(stream, weight.size()), bias(stream, (p.k + 15) / 16 * 16);
  const CpuContext context(threads);
  std::vector<Conv2dMeasurement> rows;
  for (const Conv2dSolver* solver : conv2d_registry().list(DeviceKind::Cpu)) {
    if (!std::strcmp(solver->name, "reference") || !solver->accepts(p)) continue;
    const bool wanted = which.empty() || which == solver->name || (which == "chosen" && rows.empty());
    if (!wanted) continue;
    const Workspace prepared(stream, solver->prepare ? solver->prepared_bytes(p) : 0);
    const Workspace workspace(stream, solver->workspace_bytes ? solver->workspace_bytes(p) : 0);
    if (solver->prepare) solver->prepare(p, weight.data(), static_cast<float*>(prepared.data()), context);
    const Conv2dBuffers buffers{x.data(),
                                solver->prepare ? static_cast<float*>(prepared.data()) : weight.data(),
                                p.has_bias ? bias.data() : nullptr,
                                p.has_residual ? residual.data() : nullptr,
                                y.data(),
                                dy.data(),
                                dx.data(),
                                dweight.data(),
                                workspace.data()};
    rows.push_back({solver->name, time_work([&] { solver->run(p, buffers, context); }, budget_seconds)});
  }
  return rows;
}

}  // namespace groupconv
