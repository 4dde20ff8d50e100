// cuDNN's functions, as the stand-in answers them.
#include "cuda/emulator/cudnn/standin.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <thread>

#include "cuda/emulator/cudnn/compute.h"
#include "cuda/emulator/cudnn/engines.h"

namespace standin {
namespace {

constexpr int64_t kWorkspaceBytes = 512;
constexpr Status kExecutionFailed = 5000;
constexpr auto kSlow = std::chrono::milliseconds(3);  // on a busy machine, too

struct HandleOf {
  void* stream = nullptr;
  int plans = 0;  // that were made with it
};

CudnnStandin& state() {
  static CudnnStandin state = [] {
    CudnnStandin first;
    if (const char* failing = std::getenv("GROUPCONV_STANDIN_FAILING_STARTS"))
      first.failing_starts = std::atoi(failing);
    return first;
  }();
  return state;
}

void finalize(Descriptor& d) {
  demand(!d.finalized);
  check(d);
  if (d.kind == DescriptorKind::EngineHeuristics) find_configs(d);
  if (d.kind == DescriptorKind::EngineConfig) adopt_parts(d);
  if (d.kind == DescriptorKind::Engine) {
    const int64_t index = d.number(Attribute::EngineIndex);
    demand(index >= 0 && index < kEngines);
  }
  if (d.kind == DescriptorKind::ExecutionPlan) {
    const bool from_text = d.has(Attribute::PlanText);
    if (from_text) restore(d);
    demand(supports(index_of(config_of(d)), graph_of(config_of(d))), kNotSupported);
    demand(state().plan_status == kSuccess, state().plan_status);
    ++(from_text ? state().restored : state().plans);
    if (!from_text && !behavior_of(config_of(d).results.at(0)).empty()) ++state().compiled;
    ++d.one<HandleOf*>(Attribute::PlanHandle, Type::Handle)->plans;
  }
  d.finalized = true;
  if (d.kind != DescriptorKind::OperationGraph) return;
  state().graph = described(d);
  graphs().insert(&d);
}

template <class T>
void answer(const std::vector<T>& values, int64_t most, int64_t* count, void* elements) {
  *count = static_cast<int64_t>(values.size());
  const size_t given = std::min(values.size(), static_cast<size_t>(most));
  if (given) std::memcpy(elements, values.data(), given * sizeof(T));
}

// Descriptors are filled into those that the caller made.
void answer(const std::vector<Descriptor>& found, size_t first, DescriptorKind kind, int64_t most,
            int64_t* count, void* elements) {
  const size_t there = found.size() > first ? found.size() - first : 0;
  *count = static_cast<int64_t>(there);
  for (size_t i = 0; i < std::min(there, static_cast<size_t>(most)); ++i) {
    Descriptor* target = static_cast<Descriptor**>(elements)[i];
    demand(target && target->kind == kind && !target->finalized);
    *target = found[first + i];
  }
}

void get(const Descriptor& d, Attribute attribute, int64_t most, int64_t* count, void* elements) {
  demand(d.finalized);
  if (attribute == Attribute::HeuristicsResults)
    return answer(d.results, 0, DescriptorKind::EngineConfig, most, count, elements);
  if (attribute == Attribute::ConfigEngine)
    return answer({d.results.at(0)}, 0, DescriptorKind::Engine, most, count, elements);
  if (attribute == Attribute::ConfigKnobs)
    return answer(d.results, 1, DescriptorKind::KnobChoice, most, count, elements);
  if (attribute == Attribute::PlanText) {
    const std::string text = text_of(d);
    return answer(std::vector<char>(text.begin(), text.end()), most, count, elements);
  }
  if (attribute == Attribute::EngineBehaviorNotes) return answer(behavior_of(d), most, count, elements);
  if (attribute == Attribute::EngineNumericalNotes)
    return answer(notes_of(d.number(Attribute::EngineIndex)), most, count, elements);
  if (attribute == Attribute::PlanWorkspaceBytes)
    return answer<int64_t>({index_of(config_of(d)) == kTensorCore ? kWorkspaceBytes : 0}, most, count,
                           elements);
  if (attribute == Attribute::GraphEngines) return answer<int64_t>({kEngines}, most, count, elements);
  if (attribute == Attribute::KnobType)
    return answer(d.all<int>(attribute, Type::KnobType), most, count, elements);
  answer(d.numbers(attribute), most, count, elements);
}

Tensor result_of(const Descriptor& graph) {
  const Descriptor& last = *operations_of(graph).back();
  if (is_convolution(last.kind)) return ConvolutionOf(last).result(last.kind);
  return Tensor(last.child(Attribute::PointwiseY, DescriptorKind::Tensor));
}

void execute(const HandleOf& handle, const Descriptor& plan, const Descriptor& pack) {
  demand(plan.finalized && pack.finalized && plan.kind == DescriptorKind::ExecutionPlan);
  demand(!state().fail_to_execute, kNotSupported);
  const Descriptor& config = config_of(plan);
  const Descriptor& graph = graph_of(config);
  const int64_t engine = index_of(config);
  state().executed.push_back(name_of(config));
  demand(state().executed.back() != state().broken, kExecutionFailed);
  std::map<int64_t, void*> addresses;
  const std::vector<int64_t> ids = pack.numbers(Attribute::PackIds);
  const auto pointers = pack.all<void*>(Attribute::PackPointers, Type::Pointer);
  for (size_t i = 0; i < ids.size(); ++i) addresses[ids[i]] = pointers[i];
  // What is written lies apart from all that is read: cuDNN promises nothing else.
  for (const auto& [id, address] : addresses)
    demand(id == result_of(graph).id || address != addresses.at(result_of(graph).id));
  void* workspace = pack.one<void*>(Attribute::PackWorkspace, Type::Pointer);
  demand(engine != kTensorCore || workspace);

  Exactness exactness;
  const ConvolutionOf c(*operations_of(graph).front());
  exactness.tf32 = (engine == kTensorCore || engine == kNarrowSums) && c.x.type == DataType::Float;
  exactness.narrow_sums = engine == kNarrowSums;
  exactness.perturbed = engine == kVaryingOrder && state().executed.size() % 2 == 0;
  const bool fast = is_fast(config);
  const auto work = [&graph, addresses, exactness, workspace, fast, engine] {
    if (engine == kTensorCore) std::memset(workspace, 0xff, kWorkspaceBytes);
    if (!fast) std::this_thread::sleep_for(kSlow);
    compute(graph, addresses, exactness);
  };
  if (state().submit)
    state().submit(handle.stream, work);
  else
    work();
}

template <class Body>
Status guarded(const Body& body) {
  try {
    body();
    return kSuccess;
  } catch (const Refusal& refusal) {
    return refusal.status;
  }
}

}  // namespace
}  // namespace standin

using standin::Attribute;
using standin::Descriptor;
using standin::DescriptorKind;
using standin::HandleOf;
using standin::Status;
using standin::Type;

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED CudnnStandin* groupconv_cudnn_standin() { return &standin::state(); }

EXPORTED size_t cudnnGetVersion() { return 90909; }
EXPORTED const char* cudnnGetErrorString(Status status) {
  return status == standin::kNotSupported ? "not supported" : "bad parameter";
}
EXPORTED Status cudnnCreate(HandleOf** handle) {
  if (standin::state().failing_starts > 0) {
    --standin::state().failing_starts;
    return 1001;  // not initialized
  }
  *handle = new HandleOf;
  return standin::kSuccess;
}
EXPORTED Status cudnnDestroy(HandleOf* handle) {
  if (handle->plans > 0) ++standin::state().orphans;
  if (standin::state().wait_for_device) standin::state().wait_for_device();
  delete handle;
  return standin::kSuccess;
}
EXPORTED Status cudnnSetStream(HandleOf* handle, void* stream) {
  handle->stream = stream;
  return standin::kSuccess;
}
EXPORTED Status cudnnBackendCreateDescriptor(DescriptorKind kind, Descriptor** descriptor) {
  *descriptor = new Descriptor{kind, false, {}, {}};
  return standin::kSuccess;
}
EXPORTED Status cudnnBackendDestroyDescriptor(Descriptor* descriptor) {
  if (descriptor->kind == DescriptorKind::ExecutionPlan && descriptor->finalized)
    --descriptor->one<HandleOf*>(Attribute::PlanHandle, Type::Handle)->plans;
  standin::graphs().erase(descriptor);
  delete descriptor;
  return standin::kSuccess;
}
EXPORTED Status cudnnBackendSetAttribute(Descriptor* descriptor, Attribute attribute, Type type,
                                         int64_t count, const void* elements) {
  return standin::guarded([&] {
    standin::demand(!descriptor->finalized && elements && count > 0);
    descriptor->put(attribute, type, elements, count);
  });
}
EXPORTED Status cudnnBackendFinalize(Descriptor* descriptor) {
  return standin::guarded([&] { standin::finalize(*descriptor); });
}
EXPORTED Status cudnnBackendGetAttribute(Descriptor* descriptor, Attribute attribute, Type, int64_t most,
                                         int64_t* count, void* elements) {
  int64_t ignored = 0;
  return standin::guarded(
      [&] { standin::get(*descriptor, attribute, most, count ? count : &ignored, elements); });
}
EXPORTED Status cudnnBackendExecute(HandleOf* handle, Descriptor* plan, Descriptor* pack) {
  return standin::guarded([&] { standin::execute(*handle, *plan, *pack); });
}
