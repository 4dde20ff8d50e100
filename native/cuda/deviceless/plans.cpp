// npm run cuda:plans: does NVIDIA's cuDNN take the graphs that the library builds for the layers of a file,
// on every kind of GPU? No GPU is needed: cuDNN plans ahead of time for one that is described to it. For
// every pass and dtype, some recipe must find engines that take no liberties, the first ones' plans must be
// built, and what saved tunings hold of them (a name; a text, where kernels were compiled) must lead to the
// same plans again.
//
//   cudnn_plans benchmarks/shapes/….txt …
#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "cuda/cudnn/recipes.h"
#include "cuda/deviceless/cudnn.h"
#include "cuda/deviceless/gpus.h"

namespace groupconv::cuda::cudnn {
namespace {

constexpr int kBatch = 32;
// A linear layer, as ops/linear gives it to cuDNN.
constexpr const char* kClassifier = "classifier  2048 1 1  1000 1 1  1 0 1";

struct Arithmetic {
  const char* name;
  DType dtype;
  bool tf32;
};
constexpr Arithmetic kArithmetics[] = {{"float32", DType::Float32, false},
                                       {"TF32", DType::Float32, true},
                                       {"bfloat16", DType::BFloat16, false},
                                       {"float16", DType::Float16, false}};

const char* name_of(Pass pass) {
  return pass == Pass::Forward ? "forward" : pass == Pass::GradInput ? "gradInput" : "gradWeight";
}

// name  C H W  K R S  stride  padding  groups  [dilation]; the rest is filled in later.
bool read_layer(const std::string& line, std::string& name, Convolution& v) {
  std::istringstream words(line);
  int stride = 0, padding = 0, dilation = 1;
  if (line.empty() || line[0] == '#' ||
      !(words >> name >> v.c >> v.h >> v.w >> v.k >> v.r >> v.s >> stride >> padding >> v.groups))
    return false;
  words >> dilation;
  const auto extent = [&](int size, int kernel) {
    return (size + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1;
  };
  v.n = kBatch, v.p = extent(v.h, v.r), v.q = extent(v.w, v.s);
  v.stride_h = v.stride_w = stride, v.dilation_h = v.dilation_w = dilation;
  v.pad_top = v.pad_right = v.pad_bottom = v.pad_left = padding;
  return true;
}

// What has been seen for one GPU.
struct Tally {
  const deviceless::Gpu& gpu;
  int problems = 0, failures = 0, plans = 0, compiled = 0;
  int waiting = 0;         // problems for which an engine has to be compiled
  int sums = 0, wide = 0;  // gradients of weights from 16 bits, and those with float32 on offer
  double slowest = 0, slowest_again = 0;  // seconds for compiling a plan, and for building it from its text
  size_t workspace_bytes = 0;             // the most that a plan asks for
};

double seconds_since(std::chrono::steady_clock::time_point began) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

// Builds a plan, and again as a saved tuning does; what is wrong with it, or nothing.
std::string wrong_with(const Assembly& assembly, Descriptor config, Handle handle, Tally& tally) {
  const std::string name = name_of(config);
  try {
    if (const std::string again = name_of(engine_config(assembly.graph, name)); again != name)
      return name + " leads to " + again;
    const auto began = std::chrono::steady_clock::now();
    const Plan plan(handle, std::move(config));
    ++tally.plans;
    tally.workspace_bytes = std::max(tally.workspace_bytes, plan.workspace_bytes());
    const std::string text = plan.text();
    if (text.empty()) return "";
    ++tally.compiled;
    tally.slowest = std::max(tally.slowest, seconds_since(began));
    const auto began_again = std::chrono::steady_clock::now();
    const Plan again(handle, name, text);
    tally.slowest_again = std::max(tally.slowest_again, seconds_since(began_again));
    const bool same = again.workspace_bytes() == plan.workspace_bytes() && again.text() == text;
    return same ? "" : name + ": its text leads to another plan";
  } catch (const Error& error) {
    return name + ": " + error.what();
  }
}

// Recipes for which autotuning is there: with the epilogue; float32 from 16 bits, of which bfloat16 speaks
// for both.
bool is_worth_compiling(const Convolution& v, Recipe recipe) {
  return recipe == Recipe::Fused || (v.pass == Pass::GradWeight && v.dtype == DType::BFloat16);
}

// The first engine of every recipe that is ready, and the first that is compiled where that is worth it, or
// where none is ready.
void check(const std::string& layer, const Arithmetic& arithmetic, const Convolution& v, Handle handle,
           Tally& tally) {
  ++tally.problems;
  const bool is_sum = v.pass == Pass::GradWeight && v.dtype != DType::Float32;
  bool is_offered = false, is_ready = false, is_wide = false;
  std::string wrong;
  for (const bool compiled : {false, true})
    for (const Recipe recipe : recipes_for(v)) try {
        const Assembly assembly = assemble(v, recipe, handle);
        std::vector<Descriptor> configs = engines_for(assembly, v, tally.gpu.multiprocessors);
        const auto first = std::find_if(configs.begin(), configs.end(), [&](const Descriptor& each) {
          return is_compiled(each) == compiled;
        });
        if (first == configs.end()) continue;
        is_wide = is_wide || recipe == Recipe::Plain;
        if (compiled && is_ready && !is_worth_compiling(v, recipe)) continue;
        is_offered = true;
        is_ready = is_ready || !compiled;
        wrong += wrong_with(assembly, std::move(*first), handle, tally);
      } catch (const Error& error) {
        wrong += error.what();
      }
  tally.waiting += is_offered && !is_ready;
  tally.sums += is_sum;
  tally.wide += is_sum && is_wide;
  if (is_offered && wrong.empty()) return;
  ++tally.failures;
  std::printf("%s, %s, %s: %s\n", layer.c_str(), arithmetic.name, name_of(v.pass),
              wrong.empty() ? "no engine" : wrong.c_str());
}

// Every pass and dtype of a layer; forward as it is trained, and with all that may follow it.
void check_layer(const std::string& line, Handle handle, Tally& tally) {
  std::string name;
  Convolution v{};
  if (!read_layer(line, name, v)) return;
  for (const Arithmetic& arithmetic : kArithmetics) {
    v.dtype = arithmetic.dtype, v.tf32 = arithmetic.tf32;
    for (const Pass pass : {Pass::Forward, Pass::GradInput, Pass::GradWeight}) {
      v.pass = pass;
      check(name, arithmetic, v, handle, tally);
    }
  }
  v.pass = Pass::Forward, v.dtype = DType::BFloat16, v.tf32 = 0;
  v.has_bias = v.has_residual = 1, v.activation = Activation::Relu;
  check(name + " with its epilogue", kArithmetics[2], v, handle, tally);
}

void check_file(const char* file, Handle handle, Tally& tally) {
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) check_layer(line, handle, tally);
}

int check_files(int count, char** files) {
  const Library& cudnn = library();
  require(cudnn.usable(), ErrorCode::DeviceUnavailable, cudnn.reason);
  const auto describe_gpu =
      reinterpret_cast<decltype(&groupconv_describe_gpu)>(dlsym(cudnn.handle, kDescribeGpu));
  require(describe_gpu != nullptr, ErrorCode::DeviceUnavailable, cudnn.path, " is not the deviceless cuDNN");
  Handle handle = nullptr;
  cudnn.functions.create(&handle);
  std::printf("cuDNN %s\n", cudnn.version.c_str());
  require(count > 0, ErrorCode::InvalidArgument, "expected files of shapes");
  for (int i = 0; i < count; ++i)
    require(std::ifstream(files[i]).good(), ErrorCode::InvalidFile, "there is no ", files[i]);
  int failures = 0;
  for (const deviceless::Gpu& gpu : deviceless::kGpus) {
    require(describe_gpu(deviceless::to_json(gpu).c_str()), ErrorCode::DeviceUnavailable,
            "cuDNN does not take the description of ", gpu.name);
    Tally tally{gpu};
    check_layer(kClassifier, handle, tally);
    for (int i = 0; i < count; ++i) check_file(files[i], handle, tally);
    std::printf(
        "%-8s (%d): %d of %d convolutions planned, %d of them after compiling; %d plans, workspaces of up to "
        "%.0f MB; "
        "%d compiled, in up to %.1f s, and from their text in up to %.1f ms; %d of %d float32 gradients of "
        "16 bits\n",
        gpu.name, gpu.architecture, tally.problems - tally.failures, tally.problems, tally.waiting,
        tally.plans, static_cast<double>(tally.workspace_bytes) / 1e6, tally.compiled, tally.slowest,
        tally.slowest_again * 1e3, tally.wide, tally.sums);
    std::fflush(stdout);
    failures += tally.failures;
  }
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace groupconv::cuda::cudnn

int main(int count, char** arguments) {
  try {
    return groupconv::cuda::cudnn::check_files(count - 1, arguments + 1);
  } catch (const groupconv::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
