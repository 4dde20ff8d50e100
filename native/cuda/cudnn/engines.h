// The engines that cuDNN offers for a graph, and plans: an engine with its settings, ready to run.
#pragma once
#include <string>
#include <vector>

#include "core/stream.h"
#include "cuda/cudnn/graph.h"

namespace groupconv::cuda::cudnn {

class Plan {
 public:
  // UNSUPPORTED where the engine turns out not to do it.
  Plan(Handle handle, Descriptor config);
  size_t workspace_bytes() const { return workspace_bytes_; }
  // Engine and settings, as text: "engine 34 12=5 3=1".
  const std::string& name() const { return name_; }
  // Queues it. `addresses[i]` belongs to the graph's tensor `tensors[i]`.
  void run(Handle handle, const std::vector<int64_t>& tensors, const std::vector<void*>& addresses,
           void* workspace) const;

 private:
  Descriptor config_, plan_;
  std::string name_;
  size_t workspace_bytes_;
};

// Those that take no other liberties, cuDNN's favourite first; empty where none can do the graph.
std::vector<Descriptor> engine_configs(const Graph& graph, DType dtype, const Liberties& liberties);

// The one that a plan's name tells; throws where this cuDNN has it no more.
Descriptor engine_config(const Graph& graph, const std::string& name);

// Whether a config's engine takes no other liberties.
bool allowed(const Descriptor& config, DType dtype, const Liberties& liberties);

}  // namespace groupconv::cuda::cudnn
