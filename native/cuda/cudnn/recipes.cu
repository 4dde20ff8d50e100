#include "cuda/cudnn/recipes.h"

#include <algorithm>
#include <string>

namespace groupconv::cuda::cudnn {
namespace {

ConvolutionGeometry geometry_of(const Convolution& v) {
  return {{v.stride_h, v.stride_w},
          {v.dilation_h, v.dilation_w},
          {v.pad_top, v.pad_left},
          {v.pad_bottom, v.pad_right}};
}

bool has_epilogue(const Convolution& v) {
  return v.has_bias || v.has_residual || v.activation != Activation::None;
}

// Builds the graph and notes what its tensors hold.
class Assembler {
 public:
  Assembler(const Convolution& convolution, Recipe recipe)
      : v_(convolution), geometry_(geometry_of(convolution)), assembly_{recipe, {}, {}} {}

  Assembly assemble(Handle handle) {
    switch (v_.pass) {
      case Pass::Forward:
        forward();
        break;
      case Pass::GradInput: {
        const int64_t dy = tensor(Role::Dy, y_), filter = tensor(Role::Filter, filter_);
        graph().grad_input(geometry_, dy, filter, tensor(Role::Result, x_));
        break;
      }
      case Pass::GradWeight:
        graph().grad_weight(geometry_, tensor(Role::X, x_), tensor(Role::Dy, y_),
                            tensor(Role::Result, filter_, narrow() ? v_.dtype : DType::Float32));
    }
    graph().finalize(handle);
    return std::move(assembly_);
  }

 private:
  void forward() {
    const int64_t x = tensor(Role::X, x_), filter = tensor(Role::Filter, filter_);
    if (assembly_.recipe != Recipe::Fused)
      return graph().forward(geometry_, x, filter, tensor(Role::Result, y_));
    int steps = (v_.has_bias != 0) + (v_.has_residual != 0) + (v_.activation != Activation::None);
    const auto next = [&] { return steps-- > 1 ? graph().intermediate(y_) : tensor(Role::Result, y_); };
    int64_t last = graph().intermediate(y_);
    graph().forward(geometry_, x, filter, last);
    const auto add = [&](int64_t what) {
      const int64_t sum = next();
      graph().add(std::exchange(last, sum), what, sum);
    };
    if (v_.has_bias) add(tensor(Role::Bias, {1, v_.k, 1, 1}, DType::Float32));
    if (v_.has_residual) add(tensor(Role::Residual, y_));
    if (v_.activation != Activation::None) graph().activate(v_.activation, last, next());
  }

  Graph& graph() { return assembly_.graph; }
  bool narrow() const { return assembly_.recipe == Recipe::Narrow; }
  int64_t tensor(Role role, const Extents& extents) { return tensor(role, extents, v_.dtype); }
  int64_t tensor(Role role, const Extents& extents, DType dtype) {
    const int64_t number = graph().tensor(dtype, extents);
    assembly_.tensors.emplace_back(role, number);
    return number;
  }

  const Convolution& v_;
  const ConvolutionGeometry geometry_;
  const Extents x_{v_.n, v_.c, v_.h, v_.w}, filter_{v_.k, v_.c / v_.groups, v_.r, v_.s},
      y_{v_.n, v_.k, v_.p, v_.q};
  Assembly assembly_;
};

// The place of the graph's result, and what is then made of it.
struct Finish {
  size_t scratch_bytes = 0;  // 0: the result lies where it belongs
  void* target = nullptr;
};

Finish finish_of(const Convolution& v, const Assembly& assembly, const Operands& o) {
  const size_t bytes = size_of(v.dtype);
  switch (v.pass) {
    case Pass::Forward:
      // A residual in the place of y must survive until the epilogue; and no engine of cuDNN promises to read
      // and write in one place.
      return {v.has_residual && o.residual == o.y ? static_cast<size_t>(v.y_size()) * bytes : 0, o.y};
    case Pass::GradInput:
      return {v.accumulate ? static_cast<size_t>(v.x_size()) * bytes : 0, o.dx};
    case Pass::GradWeight:
      break;
  }
  const bool in_place = assembly.recipe == Recipe::Plain && v.filter().taps == 1 && !v.accumulate;
  const size_t element = assembly.recipe == Recipe::Narrow ? bytes : sizeof(float);
  return {in_place ? 0 : static_cast<size_t>(v.filter().size()) * element, o.dweight};
}

void* address_of(Role role, const Operands& o, void* result) {
  const void* address = role == Role::X          ? o.x
                        : role == Role::Filter   ? o.filter
                        : role == Role::Bias     ? o.bias
                        : role == Role::Residual ? o.residual
                        : role == Role::Dy       ? o.dy
                                                 : result;
  return const_cast<void*>(address);
}

// What the graph left: `result` is where it wrote.
void complete(const Convolution& v, const Assembly& assembly, const Operands& o, const void* result,
              const ExecutionContext& context) {
  if (v.pass == Pass::GradWeight) {
    const DType dtype = assembly.recipe == Recipe::Narrow ? v.dtype : DType::Float32;
    if (result != o.dweight)
      from_channels_last(v.filter(), dtype, result, o.dweight, v.accumulate != 0, context);
  } else if (assembly.recipe == Recipe::Plain) {
    if (v.pass == Pass::Forward && has_epilogue(v))
      run(Epilogue{v.dtype, v.activation, v.y_size(), v.k, result, v.has_bias ? o.bias : nullptr,
                   v.has_residual ? o.residual : nullptr, o.y},
          context);
    if (v.pass == Pass::GradInput && v.accumulate)
      run(Epilogue{v.dtype, Activation::None, v.x_size(), v.c, result, nullptr, o.dx, o.dx}, context);
  } else if (result != o.y) {
    check(cudaMemcpyAsync(o.y, result, static_cast<size_t>(v.y_size()) * size_of(v.dtype),
                          cudaMemcpyDeviceToDevice, cuda_context(context).stream),
          "copy of a result");
  }
}

// The engine that writes float32 from 16 bits gives 128 x 128 of the filter to one block, however many pixels
// it has to add up, unless it is told to split the sum: into as many parts as fill the device.
void split_sum(const Graph& graph, const Filter& filter, int multiprocessors, Descriptor& config) {
  constexpr int64_t kTile = 128, kMostParts = 128;
  const auto tiles = [](int64_t extent) { return (extent + kTile - 1) / kTile; };
  const int64_t blocks = tiles(filter.outputs) * tiles(filter.channels * filter.taps);
  const int64_t parts = std::min(kMostParts, multiprocessors / blocks);
  const std::string name = name_of(config), knob = ' ' + std::to_string(kSplitSum) + '=';
  if (parts < 2 || !is_compiled(config) || name.find(knob) != std::string::npos) return;
  try {
    config = engine_config(graph, name + knob + std::to_string(parts));
  } catch (const Error& error) {  // it can't
    if (error.code() != ErrorCode::Unsupported) throw;
  }
}

}  // namespace

const char* name_of(Recipe recipe) {
  return recipe == Recipe::Fused ? "fused" : recipe == Recipe::Plain ? "plain" : "narrow";
}

std::vector<Recipe> recipes_for(const Convolution& v) {
  if (v.pass == Pass::Forward && has_epilogue(v)) return {Recipe::Fused, Recipe::Plain};
  // cuDNN 9.28 writes float32 from 16 bits with one engine, which is compiled, on Hopper and for some layers
  // on Blackwell (npm run cuda:plans counts them); in 16 bits it has engines for all, and they are ready.
  if (v.pass == Pass::GradWeight && v.dtype != DType::Float32) return {Recipe::Narrow, Recipe::Plain};
  return {Recipe::Plain};
}

Assembly assemble(const Convolution& convolution, Recipe recipe, Handle handle) {
  return Assembler(convolution, recipe).assemble(handle);
}

std::vector<Descriptor> engines_for(const Assembly& assembly, const Convolution& v, int multiprocessors) {
  std::vector<Descriptor> configs =
      engine_configs(assembly.graph, v.dtype, {v.tf32 != 0, v.varying_order != 0});
  if (v.pass == Pass::GradWeight && assembly.recipe == Recipe::Plain && v.dtype != DType::Float32 &&
      v.groups == 1)  // with more, the parts take gigabytes
    for (Descriptor& config : configs) split_sum(assembly.graph, v.filter(), multiprocessors, config);
  return configs;
}

void run(const Assembly& assembly, const Plan& plan, Handle handle, const Convolution& convolution,
         const Operands& operands, const ExecutionContext& context) {
  const Finish finish = finish_of(convolution, assembly, operands);
  const size_t workspace_bytes = (plan.workspace_bytes() + 255) / 256 * 256;
  const size_t bytes = workspace_bytes + finish.scratch_bytes;
  auto* const scratch = bytes ? static_cast<char*>(cuda_context(context).scratch(bytes)) : nullptr;
  void* const result = finish.scratch_bytes ? scratch + workspace_bytes : finish.target;
  std::vector<int64_t> tensors;
  std::vector<void*> addresses;
  for (const auto& [role, tensor] : assembly.tensors) {
    tensors.push_back(tensor);
    addresses.push_back(address_of(role, operands, result));
  }
  plan.run(handle, tensors, addresses, scratch);
  complete(convolution, assembly, operands, result, context);
}

}  // namespace groupconv::cuda::cudnn
