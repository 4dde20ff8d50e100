// How a convolution is put together from one cuDNN graph and kernels of ours.
#pragma once
#include <utility>
#include <vector>

#include "cuda/cudnn/convolution.h"
#include "cuda/cudnn/engines.h"

namespace groupconv::cuda::cudnn {

enum class Recipe {
  Fused,   // the graph holds bias, residual and activation
  Plain,   // the graph is the convolution alone
  Narrow,  // gradWeight added up in float32, but rounded to the dtype of the activations, as PyTorch's is
};
const char* name_of(Recipe recipe);

// Those that suit, best first.
std::vector<Recipe> recipes_for(const Convolution& convolution);

// What a graph's tensor holds. The result goes by itself: it may be in scratch memory.
enum class Role { X, Filter, Bias, Residual, Dy, Result };

struct Assembly {
  Recipe recipe;
  Graph graph;
  std::vector<std::pair<Role, int64_t>> tensors;
};
// The graph is finalized; throws where cuDNN refuses it.
Assembly assemble(const Convolution& convolution, Recipe recipe, Handle handle);

// The engines that cuDNN offers for it, without liberties that the convolution does not take, best first.
std::vector<Descriptor> engines_for(const Assembly& assembly, const Convolution& convolution,
                                    int multiprocessors);

// Queues the assembly's plan, and what the recipe leaves to us.
void run(const Assembly& assembly, const Plan& plan, Handle handle, const Convolution& convolution,
         const Operands& operands, const ExecutionContext& context);

}  // namespace groupconv::cuda::cudnn
