#include "ops/conv2d/conv2d.measure.h"

#include <algorithm>
#include <cstring>

#include "core/tensor.h"

namespace groupconv {
namespace {

// Values of ±[0.5, 1), never zeros: zeros would flatter the power budget and hide mistakes. Each is a sign,
// the exponent of 0.5 and a random fraction.
template <class Bits>
std::vector<char> random_values(Bits half, Bits fraction) {
  constexpr size_t kCount = (size_t{1} << 20) + 3;  // repeats, but no two lines of an image alike
  std::vector<char> bytes(kCount * sizeof(Bits));
  uint32_t state = 12345;
  for (size_t i = 0; i < kCount; ++i) {
    state = state * 1664525u + 1013904223u;
    const Bits sign = state & 1u << 31 ? Bits{1} << (8 * sizeof(Bits) - 1) : 0;
    const Bits value = sign | half | (static_cast<Bits>(state >> 8) & fraction);
    std::memcpy(&bytes[i * sizeof(Bits)], &value, sizeof(Bits));
  }
  return bytes;
}
std::vector<char> random_values(DType dtype) {
  if (dtype == DType::BFloat16) return random_values<uint16_t>(0x3f00, 0x7f);
  if (dtype == DType::Float16) return random_values<uint16_t>(0x3800, 0x3ff);
  return random_values<uint32_t>(0x3f000000, 0x7fffff);
}

// Memory of one operand, or none where the pass has no such operand.
class Operand {
 public:
  Operand(Stream& stream, DType dtype, bool used, int64_t elements)
      : space_(stream, used ? bytes_of(dtype, elements) : 0) {
    if (used) stream.tile(random_values(dtype), space_.data(), bytes_of(dtype, elements));
  }
  float* data() const { return static_cast<float*>(space_.data()); }

 private:
  static size_t bytes_of(DType dtype, int64_t elements) {
    return (static_cast<size_t>(elements) * size_of(dtype) + 63) / 64 * 64;
  }
  Workspace space_;
};

bool is_reference(const Conv2dSolver& solver, DeviceKind device) {
  return !std::strcmp(solver.name, conv2d_registry().list(device).back()->name);
}

std::vector<const Conv2dSolver*> contenders(DeviceKind device, const Conv2dProblem& problem,
                                            const std::string& which) {
  std::vector<const Conv2dSolver*> found;
  for (const Conv2dSolver* solver : conv2d_registry().list(device)) {
    const bool wanted = which == solver->name || (which.empty() && !is_reference(*solver, device)) ||
                        (which == "chosen" && found.empty());
    if (wanted && solver->accepts(problem)) found.push_back(solver);
  }
  return found;
}

constexpr double kTuningSeconds = 0.01;  // for each solver; the differences that matter are large

std::string fastest(Stream& stream, const Conv2dProblem& problem) {
  const DeviceKind device = stream.device().kind;
  if (contenders(device, problem, "").size() < 2) return conv2d_registry().choose(device, problem).name;
  std::vector<Conv2dMeasurement> rows;
  try {
    rows = measure_conv2d(stream, problem, kTuningSeconds);
  } catch (const Error&) {  // no memory to measure with; what else fails here will fail again, in the open
  }
  const auto quicker = [](const auto& a, const auto& b) { return a.seconds.front() < b.seconds.front(); };
  return rows.empty() ? "" : std::min_element(rows.begin(), rows.end(), quicker)->solver;
}

const bool registered = conv2d_registry().tune_with(DeviceKind::Cpu, fastest) &&
                        conv2d_registry().tune_with(DeviceKind::Cuda, fastest);

}  // namespace

std::vector<Conv2dMeasurement> measure_conv2d(Stream& stream, const Conv2dProblem& p, double budget_seconds,
                                              const std::string& which) {
  const bool forward = p.pass == Conv2dPass::Forward, to_input = p.pass == Conv2dPass::GradInput,
             to_weight = p.pass == Conv2dPass::GradWeight;
  const int64_t x_size = Tensor::physical_size({p.n, p.c, p.h, p.w}, p.x_block);
  const int64_t y_size = Tensor::physical_size({p.n, p.k, p.p, p.q}, p.y_block);
  const int64_t weight_size = p.k * p.channels_per_group() * p.r * p.s;
  const Operand x(stream, p.dtype, !to_input, x_size), dx(stream, p.dtype, to_input, x_size);
  const Operand y(stream, p.dtype, forward, y_size), dy(stream, p.dtype, !forward, y_size);
  const Operand residual(stream, p.dtype, p.has_residual, y_size);
  const Operand bias(stream, DType::Float32, p.has_bias, (p.k + 15) / 16 * 16);
  const Operand weight(stream, DType::Float32, !to_weight, weight_size);
  const Operand dweight(stream, DType::Float32, to_weight, weight_size);

  std::vector<Conv2dMeasurement> rows;
  for (const Conv2dSolver* solver : contenders(stream.device().kind, p, which)) {
    const Workspace prepared(stream, solver->prepare ? solver->prepared_bytes(p) : 0);
    const Workspace workspace(stream, solver->workspace_bytes ? solver->workspace_bytes(p) : 0);
    auto* const prepared_weight = static_cast<float*>(prepared.data());
    if (solver->prepare)
      stream.submit([=, prepare = solver->prepare, from = weight.data()](const ExecutionContext& context) {
        prepare(p, from, prepared_weight, context);
      });
    const Conv2dBuffers buffers{x.data(),        solver->prepare ? prepared_weight : weight.data(),
                                bias.data(),     residual.data(),
                                y.data(),        dy.data(),
                                dx.data(),       dweight.data(),
                                workspace.data()};
    std::vector<double> seconds = stream.time(
        [&](const ExecutionContext& context) { solver->run(p, buffers, context); }, budget_seconds);
    if (!seconds.empty()) rows.push_back({solver->name, std::move(seconds)});
  }
  return rows;
}

}  // namespace groupconv
