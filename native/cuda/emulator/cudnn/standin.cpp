// cuDNN's functions, and the stand-in's engines.
#include "cuda/emulator/cudnn/standin.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <set>
#include <thread>

#include "cuda/emulator/cudnn/compute.h"

namespace standin {
namespace {

constexpr int64_t kTensorCore = 0, kVaryingOrder = 1, kPlain = 2, kNarrowSums = 3, kTransforms = 4,
                  kEngines = 5;
constexpr int kKnob = 7;  // 1 is faster than 0
constexpr int64_t kWorkspaceBytes = 512;
constexpr Status kExecutionFailed = 5000;
constexpr auto kSlow = std::chrono::microseconds(300);

struct HandleOf {
  void* stream = nullptr;
  int plans = 0;  // that were made with it
};

CudnnStandin& state() {
  static CudnnStandin state;
  return state;
}

// Those that are finalized and not yet destroyed. Never gone: handles outlive what is static here.
std::set<const Descriptor*>& graphs() {
  static auto* const graphs = new std::set<const Descriptor*>;
  return *graphs;
}

bool is_channels_last(const Tensor& t) { return t.strides[1] == 1 && t.strides[3] == t.extents[1]; }

bool fits_tensor_cores(const Descriptor& operation, const ConvolutionOf& c, bool fused) {
  const auto step = static_cast<int64_t>(16 / size_of(c.x.type));
  const bool backward = operation.kind != DescriptorKind::ConvolutionForward;
  const bool filter = operation.kind == DescriptorKind::ConvolutionBackwardFilter;
  const bool strided = c.stride[0] > 1 || c.stride[1] > 1;
  if (filter && fused) return false;
  if (backward && fused && (c.groups() > 1 || strided)) return false;
  return is_channels_last(c.x) && is_channels_last(c.w) && is_channels_last(c.y) &&
         c.w.extents[1] % step == 0 && c.w.extents[0] / c.groups() % step == 0;
}

bool is_plain(const Descriptor&, const ConvolutionOf& c, bool fused) { return !fused && c.before == c.after; }

bool supports(int64_t engine, const Descriptor& graph) {
  if (state().refuse) return false;
  const std::vector<const Descriptor*> operations = operations_of(graph);
  if (!is_convolution(operations.front()->kind)) return false;
  const ConvolutionOf c(*operations.front());
  if (state().only_wide_gradients && operations.front()->kind == DescriptorKind::ConvolutionBackwardFilter &&
      c.w.type != DataType::Float)
    return false;
  const bool tensor_cores = engine == kTensorCore || engine == kNarrowSums;
  return (tensor_cores ? fits_tensor_cores : is_plain)(*operations.front(), c, operations.size() > 1);
}

std::vector<int> notes_of(int64_t engine) {
  const auto note = [](NumericalNote note) { return static_cast<int>(note); };
  if (engine == kTensorCore) return {note(NumericalNote::TensorCore)};
  if (engine == kVaryingOrder) return {note(NumericalNote::Nondeterministic)};
  if (engine == kTransforms) return {note(NumericalNote::Winograd)};
  if (engine == kPlain) return {};
  return {note(NumericalNote::TensorCore), note(NumericalNote::ReducedPrecisionReduction)};
}

// `results` of a configuration: its engine, then its knobs.
Descriptor config_of(const Descriptor& graph, int64_t index, const std::vector<int64_t>& knobs) {
  Descriptor engine{DescriptorKind::Engine, true, {}, {}};
  const Descriptor* graph_address = &graph;
  engine.put(Attribute::EngineGraph, Type::Descriptor, &graph_address, 1);
  engine.put(Attribute::EngineIndex, Type::Int64, &index, 1);
  Descriptor config{DescriptorKind::EngineConfig, true, {}, {engine}};
  for (int64_t value : knobs) {
    Descriptor knob{DescriptorKind::KnobChoice, true, {}, {}};
    knob.put(Attribute::KnobType, Type::KnobType, &kKnob, 1);
    knob.put(Attribute::KnobValue, Type::Int64, &value, 1);
    config.results.push_back(knob);
  }
  return config;
}

// A configuration that was put together by hand gets the same form.
void adopt_parts(Descriptor& config) {
  if (!config.results.empty()) return;
  config.results.push_back(config.child(Attribute::ConfigEngine, DescriptorKind::Engine));
  if (!config.has(Attribute::ConfigKnobs)) return;
  for (const auto* knob : config.all<const Descriptor*>(Attribute::ConfigKnobs, Type::Descriptor)) {
    demand(knob->finalized && knob->one<int>(Attribute::KnobType, Type::KnobType) == kKnob, kNotSupported);
    config.results.push_back(*knob);
  }
}

void find_configs(Descriptor& heuristics) {
  const Descriptor& graph = heuristics.child(Attribute::HeuristicsGraph, DescriptorKind::OperationGraph);
  const auto mode =
      static_cast<HeuristicMode>(heuristics.one<int>(Attribute::HeuristicsMode, Type::HeuristicMode));
  const auto offer = [&](int64_t engine, const std::vector<int64_t>& knobs) {
    for (int i = 0; i < state().copies; ++i)
      if (supports(engine, graph)) heuristics.results.push_back(config_of(graph, engine, knobs));
  };
  if (mode == HeuristicMode::Fallback) return offer(kPlain, {});
  if (mode == HeuristicMode::B && is_convolution(operations_of(graph).front()->kind)) {
    const ConvolutionOf c(*operations_of(graph).front());
    demand(c.groups() == 1 && c.dilation[0] == 1 && c.dilation[1] == 1, kNotSupported);
  }
  offer(kNarrowSums, {});
  offer(kVaryingOrder, {});
  offer(kTensorCore, {0});
  offer(kTensorCore, {1});
  offer(kTransforms, {});
}

// Its own, or the one that its text told.
const Descriptor& config_of(const Descriptor& plan) {
  return plan.results.empty() ? plan.child(Attribute::PlanConfig, DescriptorKind::EngineConfig)
                              : plan.results.front();
}
int64_t index_of(const Descriptor& config) { return config.results.at(0).number(Attribute::EngineIndex); }
int64_t knob_of(const Descriptor& config) {
  return config.results.size() > 1 ? config.results[1].number(Attribute::KnobValue) : -1;
}
const Descriptor& graph_of(const Descriptor& config) {
  return config.results.at(0).child(Attribute::EngineGraph, DescriptorKind::OperationGraph);
}

std::string name_of(const Descriptor& config) {
  const int64_t knob = knob_of(config);
  return "engine " + std::to_string(index_of(config)) +
         (knob < 0 ? "" : ' ' + std::to_string(kKnob) + '=' + std::to_string(knob));
}

// Epilogues are compiled for the tensor cores.
std::vector<int> behavior_of(const Descriptor& engine) {
  const Descriptor& graph = engine.child(Attribute::EngineGraph, DescriptorKind::OperationGraph);
  if (engine.number(Attribute::EngineIndex) != kTensorCore || operations_of(graph).size() < 2) return {};
  return {kCompilesAtRunTime};
}

// A plan as text: its engine's name, and all of its graph.
std::string text_of(const Descriptor& plan) {
  return name_of(config_of(plan)) + '\n' + described(graph_of(config_of(plan)));
}
// The graph is not made anew: one that is there and alike serves.
void restore(Descriptor& plan) {
  const std::vector<char> characters = plan.all<char>(Attribute::PlanText, Type::Character);
  const std::string text(characters.begin(), characters.end());
  for (const Descriptor* graph : graphs())
    for (const int64_t knob : {0, 1}) {
      plan.results = {config_of(*graph, kTensorCore, {knob})};
      if (text_of(plan) == text) return;
    }
  throw Refusal{kNotSupported};
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
  const int64_t engine = index_of(config), knob = knob_of(config);
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
  const bool alone = operations_of(graph).size() == 1;
  const bool slow = knob != 1 || alone != state().slow_epilogues;
  const auto work = [&graph, addresses, exactness, workspace, slow, engine] {
    if (engine == kTensorCore) std::memset(workspace, 0xff, kWorkspaceBytes);
    if (slow) std::this_thread::sleep_for(kSlow);
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
  *handle = new HandleOf;
  return standin::kSuccess;
}
EXPORTED Status cudnnDestroy(HandleOf* handle) {
  if (handle->plans > 0) ++standin::state().orphans;
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
