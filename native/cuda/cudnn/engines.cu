#include "cuda/cudnn/engines.h"

#include <algorithm>
#include <sstream>

namespace groupconv::cuda::cudnn {
namespace {

Descriptor engine_of(const Descriptor& config) {
  std::vector<Descriptor> engines =
      config.get_descriptors(Attribute::ConfigEngine, DescriptorKind::Engine, 1);
  require(!engines.empty(), ErrorCode::DeviceFailure, "cuDNN: a configuration without an engine");
  return std::move(engines.front());
}

// A heuristic that has nothing to say about a graph refuses it.
void append_configs(const Graph& graph, HeuristicMode mode, DType dtype, const Liberties& liberties,
                    std::vector<Descriptor>& configs) {
  try {
    Descriptor heuristics(DescriptorKind::EngineHeuristics);
    heuristics.set(Attribute::HeuristicsGraph, graph.finalized())
        .set(Attribute::HeuristicsMode, Type::HeuristicMode, static_cast<int>(mode))
        .finalize();
    const int64_t count = heuristics.count(Attribute::HeuristicsResults);
    for (Descriptor& config :
         heuristics.get_descriptors(Attribute::HeuristicsResults, DescriptorKind::EngineConfig, count))
      if (allowed(config, dtype, liberties)) configs.push_back(std::move(config));
  } catch (const Error& error) {
    if (error.code() != ErrorCode::Unsupported) throw;
  }
}

Descriptor plan_from(Handle handle, const std::string& text) {
  Descriptor plan(DescriptorKind::ExecutionPlan);
  plan.set(Attribute::PlanHandle, Type::Handle, &handle)
      .set(Attribute::PlanText, Type::Character, text.data(), static_cast<int64_t>(text.size()))
      .finalize();
  return plan;
}

Descriptor finalized_plan(Handle handle, const Descriptor& config) {
  Descriptor plan(DescriptorKind::ExecutionPlan);
  plan.set(Attribute::PlanHandle, Type::Handle, &handle).set(Attribute::PlanConfig, config).finalize();
  return plan;
}

}  // namespace

std::string name_of(const Descriptor& config) {
  std::ostringstream name;
  name << "engine " << engine_of(config).get(Attribute::EngineIndex);
  for (const Descriptor& knob :
       config.get_descriptors(Attribute::ConfigKnobs, DescriptorKind::KnobChoice, kMostKnobs))
    name << ' ' << knob.get_ints(Attribute::KnobType, Type::KnobType, 1).at(0) << '='
         << knob.get(Attribute::KnobValue);
  return name.str();
}

bool is_compiled(const Descriptor& config) {
  const std::vector<int> notes =
      engine_of(config).get_ints(Attribute::EngineBehaviorNotes, Type::BehaviorNote, kMostNotes);
  return std::find(notes.begin(), notes.end(), kCompilesAtRunTime) != notes.end();
}

bool allowed(const Descriptor& config, DType dtype, const Liberties& liberties) {
  const std::vector<int> notes =
      engine_of(config).get_ints(Attribute::EngineNumericalNotes, Type::NumericalNote, kMostNotes);
  const auto has = [&](NumericalNote note) {
    return std::find(notes.begin(), notes.end(), static_cast<int>(note)) != notes.end();
  };
  const bool costs_float32_digits =
      has(NumericalNote::TensorCore) || has(NumericalNote::Winograd) || has(NumericalNote::Fft);
  return !has(NumericalNote::DownConvertInputs) && !has(NumericalNote::ReducedPrecisionReduction) &&
         (dtype != DType::Float32 || liberties.tf32 || !costs_float32_digits) &&
         (liberties.varying_order || !has(NumericalNote::Nondeterministic));
}

std::vector<Descriptor> engine_configs(const Graph& graph, DType dtype, const Liberties& liberties) {
  std::vector<Descriptor> configs;
  append_configs(graph, HeuristicMode::A, dtype, liberties, configs);
  if (configs.empty()) append_configs(graph, HeuristicMode::B, dtype, liberties, configs);
  append_configs(graph, HeuristicMode::Fallback, dtype, liberties, configs);
  return configs;
}

Descriptor engine_config(const Graph& graph, const std::string& name) {
  std::istringstream words(name);
  std::string word;
  int64_t index = -1, value = 0;
  const bool read = static_cast<bool>(words >> word >> index);
  require(read && word == "engine" && index >= 0 && index < graph.finalized().get(Attribute::GraphEngines),
          ErrorCode::Unsupported, "cuDNN: no ", name);
  Descriptor engine(DescriptorKind::Engine);
  engine.set(Attribute::EngineGraph, graph.finalized()).set(Attribute::EngineIndex, index).finalize();
  std::vector<Descriptor> knobs;
  int type = 0;
  for (char equals; words >> type >> equals >> value;)
    knobs.emplace_back(DescriptorKind::KnobChoice)
        .set(Attribute::KnobType, Type::KnobType, type)
        .set(Attribute::KnobValue, value)
        .finalize();
  std::vector<RawDescriptor> raws;
  for (const Descriptor& knob : knobs) raws.push_back(knob.raw());
  Descriptor config(DescriptorKind::EngineConfig);
  config.set(Attribute::ConfigEngine, engine);
  if (!raws.empty())
    config.set(Attribute::ConfigKnobs, Type::Descriptor, raws.data(), static_cast<int64_t>(raws.size()));
  config.finalize();
  return config;
}

Plan::Plan(Handle handle, Descriptor config)
    : name_(name_of(config)),
      is_compiled_(is_compiled(config)),
      config_(std::move(config)),
      plan_(finalized_plan(handle, *config_)),
      workspace_bytes_(static_cast<size_t>(plan_.get(Attribute::PlanWorkspaceBytes))) {}

Plan::Plan(Handle handle, std::string name, const std::string& text)
    : name_(std::move(name)),
      is_compiled_(true),
      plan_(plan_from(handle, text)),
      workspace_bytes_(static_cast<size_t>(plan_.get(Attribute::PlanWorkspaceBytes))) {}

std::string Plan::text() const {
  try {
    return is_compiled_ ? plan_.get_text(Attribute::PlanText) : std::string();
  } catch (const Error&) {
    return "";
  }
}

void Plan::run(Handle handle, const std::vector<int64_t>& tensors, const std::vector<void*>& addresses,
               void* workspace) const {
  const auto count = static_cast<int64_t>(tensors.size());
  Descriptor pack(DescriptorKind::VariantPack);
  pack.set(Attribute::PackIds, Type::Int64, tensors.data(), count)
      .set(Attribute::PackPointers, Type::Pointer, addresses.data(), count)
      .set(Attribute::PackWorkspace, Type::Pointer, &workspace)
      .finalize();
  check(library().functions.execute(handle, plan_.raw(), pack.raw()), "execute");
}

}  // namespace groupconv::cuda::cudnn
