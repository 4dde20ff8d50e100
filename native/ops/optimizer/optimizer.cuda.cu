#include "cuda/chunks.h"
#include "cuda/offer.h"
#include "ops/optimizer/optimizer.h"

namespace groupconv::cuda {
namespace {

using Batch = ChunkBatch<OptimizerChunk>;

__global__ void __launch_bounds__(kThreads)
    sgd(SgdProblem p, const SgdNumbers* __restrict__ numbers, const __grid_constant__ Batch batch) {
  const OptimizerChunk& chunk = batch.chunk[blockIdx.x];
  const SgdNumbers n = *numbers;
  const bool has_momentum = p.momentum != 0;
  for_chunk_elements(chunk.size, [&](int64_t at, auto width) {
    constexpr int kWidth = width.kWidth;
    auto parameter = load_pack<kWidth>(chunk.parameter + at);
    const auto gradient = load_pack<kWidth>(chunk.gradient + at);
    Pack<float, kWidth> momentum{};
    if (has_momentum) momentum = load_pack<kWidth>(chunk.first + at);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      float g = gradient.element[k] + p.weight_decay * parameter.element[k];
      if (has_momentum) {
        const float m = n.keep * momentum.element[k] + n.gradient_factor * g;
        momentum.element[k] = m;
        g = p.nesterov ? g + p.momentum * m : m;
      }
      parameter.element[k] -= n.lr * g;
    }
    store_pack(chunk.parameter + at, parameter);
    if (has_momentum) store_pack(chunk.first + at, momentum);
  });
}

__global__ void __launch_bounds__(kThreads)
    adamw(AdamwProblem p, const AdamwNumbers* __restrict__ numbers, const __grid_constant__ Batch batch) {
  const OptimizerChunk& chunk = batch.chunk[blockIdx.x];
  const AdamwNumbers n = *numbers;
  for_chunk_elements(chunk.size, [&](int64_t at, auto width) {
    constexpr int kWidth = width.kWidth;
    auto parameter = load_pack<kWidth>(chunk.parameter + at), first = load_pack<kWidth>(chunk.first + at),
         second = load_pack<kWidth>(chunk.second + at);
    const auto gradient = load_pack<kWidth>(chunk.gradient + at);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      const float g = gradient.element[k];
      const float m = p.beta1 * first.element[k] + p.rest1 * g;
      const float v = p.beta2 * second.element[k] + p.rest2 * g * g;
      first.element[k] = m;
      second.element[k] = v;
      const float denominator = sqrtf(v) / n.root_correction + p.eps;
      parameter.element[k] = n.decay * parameter.element[k] - n.step_size * (m / denominator);
    }
    store_pack(chunk.parameter + at, parameter);
    store_pack(chunk.first + at, first);
    store_pack(chunk.second + at, second);
  });
}

template <auto kKernel, class Problem, class Buffers>
void run(const Problem& p, const Buffers& b, const ExecutionContext& context) {
  for_batches(b.chunks, b.count, [&](const auto& batch, unsigned count, int64_t) {
    launch(context, chunk_grid(count), kThreads, 0, kKernel, p, b.numbers, batch);
  });
}

constexpr SgdSolver sgds[] = {
    {"batches", [](const SgdProblem&) { return true; }, run<sgd, SgdProblem, SgdBuffers>}};
constexpr AdamwSolver adamws[] = {
    {"batches", [](const AdamwProblem&) { return true; }, run<adamw, AdamwProblem, AdamwBuffers>}};
const bool offered = offer<SgdProblem, SgdBuffers>("sgd", {{sgds, 1}}) &&
                     offer<AdamwProblem, AdamwBuffers>("adamw", {{adamws, 1}});

}  // namespace
}  // namespace groupconv::cuda
