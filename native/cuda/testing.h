// The tools of *.cuda.test.cu: one case, run through an operator's door on the CPU's reference and on every
// CUDA solver that takes it, in float32, bfloat16 and float16.
//
//   for (DType dtype : test::kDTypes)
//     test::check_on_cuda(add_registry(), dtype, test::rounding(dtype), "add", [&](const test::Place& on) {
//       return test::Tensors{add(*on.activation({2, 8, 5, 5}, 1), *on.activation({2, 8, 5, 5}, 2), …)};
//     });
//
// Results are the same bits in both orders of threads, and nothing is written beside an allocation. What
// must_notice (proof.h) says of a solver is shown with its cases.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "core/check.h"
#include "core/dispatch.h"
#include "core/tensor.h"
#include "cpu/guarded.h"
#include "cpu/stream.h"
#include "cuda/device.testing.h"
#include "cuda/engine.h"
#include "cuda/guarded_stream.h"
#include "cuda/offer.h"
#include "cuda/proof.h"
#include "cuda/stream.h"
#include "ops/convert/convert.h"

namespace groupconv::test {

using Values = std::vector<float>;
using Tensors = std::vector<TensorPtr>;

constexpr DType kDTypes[] = {DType::Float32, DType::BFloat16, DType::Float16};

// The relative error of one rounding, with room for float32 sums in another order.
constexpr double rounding(DType dtype) {
  return dtype == DType::Float32 ? 1e-6 : dtype == DType::BFloat16 ? 4e-3 : 5e-4;
}

// Tolerances by solver, from that of float32. cuDNN's rounds the weight beside the result, and a parameter's
// gradient to the dtype of the activations.
inline auto activation_tolerance(DType dtype, double float32) {
  return [=](const std::string& solver) {
    return dtype == DType::Float32 ? float32 : (solver == "cudnn" ? 2 : 1) * rounding(dtype);
  };
}
inline auto parameter_tolerance(DType dtype, double float32) {
  return [=](const std::string& solver) {
    return solver == "cudnn" && dtype != DType::Float32 ? rounding(dtype) : float32;
  };
}

inline const std::shared_ptr<Stream>& cpu_stream() {
  static const std::shared_ptr<Stream> stream = std::make_shared<CpuStream>();
  return stream;
}

// The first device. The operators' lists get their CUDA solvers here.
inline const std::shared_ptr<GuardedStream>& cuda_stream() {
  static const auto stream = [] {
    for (const cuda::SolverOffer& offer : cuda::offers())
      AnyRegistry::find(offer.op).adopt(DeviceKind::Cuda, offer.solvers.data(),
                                        static_cast<int>(offer.solvers.size()), offer.problem_bytes,
                                        offer.buffers_bytes);
    return std::make_shared<GuardedStream>(std::make_unique<cuda::CudaStream>(0, cuda::open_engine(0)));
  }();
  return stream;
}

// Through the stream's door, because queued work may still use the memory of what was released.
inline TensorPtr upload(const std::shared_ptr<Stream>& stream, const Shape& shape, const Values& values) {
  const TensorPtr tensor = make_tensor(stream, shape, DType::Float32);
  stream->upload(given(values).data(), *tensor);
  return tensor;
}
inline Values download(const Tensor& tensor) {
  std::vector<char> bytes(tensor.logical_bytes());
  tensor.stream().download(tensor, bytes.data());
  tensor.stream().synchronize();
  const TensorPtr host = make_tensor(cpu_stream(), tensor.shape(), tensor.dtype());
  cpu_stream()->upload(bytes.data(), *host);
  Values values = values_of(*cast(*host, DType::Float32));
  witness(values);
  return values;
}

// Where a case runs. Its tensors hold the same values everywhere: those of activations are numbers of
// `dtype`, which the CPU keeps as float32.
struct Place {
  std::shared_ptr<Stream> stream;
  DType dtype;
  bool is_cuda() const { return stream->device().kind == DeviceKind::Cuda; }
  DType stored() const { return is_cuda() ? dtype : DType::Float32; }

  // Rounded by the CPU's cast, which is tested on its own.
  TensorPtr activation(const Shape& shape, const Values& values) const {
    const TensorPtr rounded = cast(*upload(cpu_stream(), shape, values), dtype);
    if (!is_cuda()) return cast(*rounded, DType::Float32);
    const TensorPtr tensor = make_tensor(stream, shape, dtype);
    stream->receive(*rounded, *tensor);
    return tensor;
  }
  TensorPtr activation(const Shape& shape, uint32_t seed) const {
    return activation(shape, hashed_values(seed, static_cast<size_t>(shape.size())));
  }
  TensorPtr parameter(const Shape& shape, const Values& values) const {
    return upload(stream, shape, values);
  }
  TensorPtr parameter(const Shape& shape, uint32_t seed) const {
    return parameter(shape, hashed_values(seed, static_cast<size_t>(shape.size())));
  }
  TensorPtr integers(const Shape& shape, const std::vector<int32_t>& values) const {
    const TensorPtr tensor = make_tensor(stream, shape, DType::Int32);
    stream->upload(given(values).data(), *tensor);
    return tensor;
  }
  // A target that an operator overwrites: without memory yet.
  TensorPtr target(const Shape& shape) const { return std::make_shared<Tensor>(stream, shape, stored()); }
  TensorPtr parameter_target(const Shape& shape) const {
    return std::make_shared<Tensor>(stream, shape, DType::Float32);
  }
};

using Run = std::function<Tensors(const Place&)>;

// The values of a case's results, each tensor on its own.
inline std::vector<Values> run_on(const Place& place, const Run& run) {
  std::vector<Values> all;
  for (const TensorPtr& tensor : run(place)) all.push_back(download(*tensor));
  return all;
}

// body(name of the order): on the emulator for both orders of threads, on a GPU twice; results must not care.
template <class Body>
void for_thread_orders(const Body& body) {
#ifdef GROUPCONV_EMULATED
  for (const emulator::Order order : {emulator::Order::Forward, emulator::Order::Backward}) {
    if (trial && *trial) break;  // noticed
    emulator::order = order;
    body(order == emulator::Order::Forward ? "threads forward" : "threads backward");
  }
  emulator::order = emulator::Order::Forward;
#else
  for (const char* name : {"first run", "second run"}) body(name);
#endif
}

struct Wanted {
  DType dtype;
  double tolerance;
  std::string what;
};
// Whether the solver that is forced takes the case.
inline bool check_solver(const Wanted& wanted, const std::vector<Values>& expected, const Run& run) {
  bool taken = false;
  std::vector<Values> first;
  for_thread_orders([&](const char* order) {
    const std::string note = wanted.what + ' ' + name_of(wanted.dtype) + ", " + order;
    std::vector<Values> actual;
    try {
      actual = run_on({cuda_stream(), wanted.dtype}, run);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::Unsupported) CHECK_NOTE(false, note + ": " + error.message());
      return;
    }
    taken = true;
    for (size_t i = 0; i < expected.size(); ++i) {
      const double error = relative_error(actual[i], expected[i]);
      CHECK_NOTE(error <= wanted.tolerance, note + ": result " + std::to_string(i) + " is off by " +
                                                std::to_string(error / wanted.tolerance) + " tolerances");
    }
    if (first.empty()) first = actual;
    for (size_t i = 0; i < expected.size(); ++i)
      CHECK_NOTE(same_bits(first[i], actual[i]), "bitwise " + note);
  });
  CHECK_NOTE(cuda_stream()->intact(), "written beside an allocation: " + wanted.what);
  return taken;
}

// Checks one case; `registry` is that of the operator under test. At least one CUDA solver has to take it.
// tolerance(solver's name)
template <class Tolerance>
requires std::is_invocable_v<Tolerance, const std::string&>
void check_on_cuda(AnyRegistry& registry, DType dtype, const Tolerance& tolerance_of, const std::string& what,
                   const Run& run) {
  cuda_stream();
  registry.force(registry.solver_names(DeviceKind::Cpu).back());  // the reference
  const std::vector<Values> expected = run_on({cpu_stream(), dtype}, run);
  bool taken = false;
  std::string last;
  for (const std::string& solver : registry.solver_names(DeviceKind::Cuda)) {
    if (solver == last || solver == kMistaken) continue;  // a family; a stand-in
    last = solver;
    registry.force(solver);
    prove(subject(registry.op(), solver), [&] {
      taken |= check_solver({dtype, tolerance_of(solver), what + ", " + solver}, expected, run);
    });
  }
  registry.force("");
  CHECK_NOTE(taken, "no solver takes " + what);
}
inline void check_on_cuda(AnyRegistry& registry, DType dtype, double tolerance, const std::string& what,
                          const Run& run) {
  check_on_cuda(
      registry, dtype, [=](const std::string&) { return tolerance; }, what, run);
}

}  // namespace groupconv::test
