// The engines that cuDNN offers for a graph, and plans: an engine with its settings, ready to run.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/stream.h"
#include "cuda/cudnn/graph.h"

namespace groupconv::cuda::cudnn {

class Plan {
 public:
  // UNSUPPORTED where the engine turns out not to do it.
  Plan(Handle handle, Descriptor config);
  // What `text` once wrote down of the plan of this name, in milliseconds; throws where this cuDNN or device
  // takes it no more.
  Plan(Handle handle, std::string name, const std::string& text);
  size_t workspace_bytes() const { return workspace_bytes_; }
  // See name_of.
  const std::string& name() const { return name_; }
  // The plan and its kernels as cuDNN's JSON, where those were compiled for it, which took half a second;
  // else, or where cuDNN can't tell, empty.
  std::string text() const;
  // Queues it. `addresses[i]` belongs to the graph's tensor `tensors[i]`.
  void run(Handle handle, const std::vector<int64_t>& tensors, const std::vector<void*>& addresses,
           void* workspace) const;

 private:
  std::string name_;
  bool is_compiled_;
  std::optional<Descriptor> config_;  // none where a text took its place
  Descriptor plan_;
  size_t workspace_bytes_;
};

// Those that take no other liberties, cuDNN's favourite first; empty where none can do the graph.
std::vector<Descriptor> engine_configs(const Graph& graph, DType dtype, const Liberties& liberties);

// Engine and settings, as text: "engine 34 12=5 3=1".
std::string name_of(const Descriptor& config);

// The one that such a name tells; throws where this cuDNN has it no more.
Descriptor engine_config(const Graph& graph, const std::string& name);

// Whether building a plan compiles its kernels, which takes half a second.
bool is_compiled(const Descriptor& config);

// Whether a config's engine takes no other liberties. float32 loses digits by TF32, and by Winograd's and
// Fourier's transforms.
bool allowed(const Descriptor& config, DType dtype, const Liberties& liberties);

}  // namespace groupconv::cuda::cudnn
