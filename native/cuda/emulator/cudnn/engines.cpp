#include "cuda/emulator/cudnn/engines.h"

#include <algorithm>
#include <sstream>

#include "cuda/emulator/cudnn/standin.h"

namespace standin {
namespace {

const CudnnStandin& state() { return *groupconv_cudnn_standin(); }

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

using Knobs = std::vector<std::pair<int, int64_t>>;  // types and values

// `results` of a configuration: its engine, then its knobs.
Descriptor config_of(const Descriptor& graph, int64_t index, const Knobs& knobs) {
  Descriptor engine{DescriptorKind::Engine, true, {}, {}};
  const Descriptor* graph_address = &graph;
  engine.put(Attribute::EngineGraph, Type::Descriptor, &graph_address, 1);
  engine.put(Attribute::EngineIndex, Type::Int64, &index, 1);
  Descriptor config{DescriptorKind::EngineConfig, true, {}, {engine}};
  for (const auto& [type, value] : knobs) {
    Descriptor knob{DescriptorKind::KnobChoice, true, {}, {}};
    knob.put(Attribute::KnobType, Type::KnobType, &type, 1);
    knob.put(Attribute::KnobValue, Type::Int64, &value, 1);
    config.results.push_back(knob);
  }
  return config;
}

// The result of gradWeight is float32, that of 16-bit activations.
bool is_widened(const Descriptor& graph) {
  const Descriptor& operation = *operations_of(graph).front();
  if (operation.kind != DescriptorKind::ConvolutionBackwardFilter) return false;
  const ConvolutionOf c(operation);
  return c.x.type != DataType::Float && c.w.type == DataType::Float;
}

Knobs knobs_of(const Descriptor& config) {
  Knobs knobs;
  for (size_t i = 1; i < config.results.size(); ++i)
    knobs.emplace_back(config.results[i].one<int>(Attribute::KnobType, Type::KnobType),
                       config.results[i].number(Attribute::KnobValue));
  return knobs;
}
bool has_knob(const Descriptor& config, int type, int64_t value) {
  const Knobs knobs = knobs_of(config);
  return std::find(knobs.begin(), knobs.end(), std::pair(type, value)) != knobs.end();
}
}  // namespace

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

// Epilogues and float32 from 16 bits are compiled for the tensor cores.
std::vector<int> behavior_of(const Descriptor& engine) {
  const Descriptor& graph = engine.child(Attribute::EngineGraph, DescriptorKind::OperationGraph);
  const bool is_special = operations_of(graph).size() > 1 || is_widened(graph);
  if (engine.number(Attribute::EngineIndex) != kTensorCore || !is_special) return {};
  return {kCompilesAtRunTime};
}

void adopt_parts(Descriptor& config) {
  if (!config.results.empty()) return;
  const Descriptor& engine = config.child(Attribute::ConfigEngine, DescriptorKind::Engine);
  config.results.push_back(engine);
  if (!config.has(Attribute::ConfigKnobs)) return;
  const bool can_split = is_widened(engine.child(Attribute::EngineGraph, DescriptorKind::OperationGraph));
  for (const auto* knob : config.all<const Descriptor*>(Attribute::ConfigKnobs, Type::Descriptor)) {
    const int type = knob->one<int>(Attribute::KnobType, Type::KnobType);
    demand(knob->finalized && (type == kKnob || (type == kSplitSum && can_split)), kNotSupported);
    config.results.push_back(*knob);
  }
}

void find_configs(Descriptor& heuristics) {
  const Descriptor& graph = heuristics.child(Attribute::HeuristicsGraph, DescriptorKind::OperationGraph);
  const auto mode =
      static_cast<HeuristicMode>(heuristics.one<int>(Attribute::HeuristicsMode, Type::HeuristicMode));
  const auto offer = [&](int64_t engine, const Knobs& knobs) {
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
  offer(kTensorCore, {{kKnob, 0}});
  offer(kTensorCore, {{kKnob, 1}});
  offer(kTransforms, {});
}

const Descriptor& config_of(const Descriptor& plan) {
  return plan.results.empty() ? plan.child(Attribute::PlanConfig, DescriptorKind::EngineConfig)
                              : plan.results.front();
}
int64_t index_of(const Descriptor& config) { return config.results.at(0).number(Attribute::EngineIndex); }
const Descriptor& graph_of(const Descriptor& config) {
  return config.results.at(0).child(Attribute::EngineGraph, DescriptorKind::OperationGraph);
}

std::string name_of(const Descriptor& config) {
  std::string name = "engine " + std::to_string(index_of(config));
  for (const auto& [type, value] : knobs_of(config))
    name += ' ' + std::to_string(type) + '=' + std::to_string(value);
  return name;
}

bool is_fast(const Descriptor& config) {
  const Descriptor& graph = graph_of(config);
  if (is_widened(graph)) return knobs_of(config).size() == 2;
  const bool alone = operations_of(graph).size() == 1;
  return state().slow_epilogues ? alone : !alone && has_knob(config, kKnob, 1);
}

std::string text_of(const Descriptor& plan) {
  return name_of(config_of(plan)) + '\n' + described(graph_of(config_of(plan)));
}

std::set<const Descriptor*>& graphs() {
  static auto* const graphs = new std::set<const Descriptor*>;  // never gone: handles outlive what is static
  return *graphs;
}

void restore(Descriptor& plan) {
  const std::vector<char> characters = plan.all<char>(Attribute::PlanText, Type::Character);
  const std::string text(characters.begin(), characters.end());
  std::istringstream name(text.substr(0, text.find('\n')));
  std::string word;
  int64_t index = 0, value = 0;
  int type = 0;
  name >> word >> index;
  Knobs knobs;
  for (char equals; name >> type >> equals >> value;) knobs.emplace_back(type, value);
  for (const Descriptor* graph : graphs()) {
    plan.results = {config_of(*graph, index, knobs)};
    if (text_of(plan) == text) return;
  }
  throw Refusal{kNotSupported};
}

}  // namespace standin
