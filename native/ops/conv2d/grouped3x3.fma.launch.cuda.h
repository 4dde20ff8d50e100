// From a float32 problem to its kernel on CUDA cores: by channels per group, pass and stride.
#pragma once
#include "ops/conv2d/grouped3x3.fma.convolve.cuda.h"
#include "ops/conv2d/grouped3x3.fma.gradWeight.cuda.h"
#include "ops/conv2d/grouped3x3.fma.spread.cuda.h"
#include "ops/conv2d/grouped3x3.solvers.cuda.h"

namespace groupconv::cuda::grouped3x3 {

inline bool accepts_fma(const Conv2dProblem& p) {
  return p.dtype == DType::Float32 && is_grouped3x3(p) && fits(p, static_cast<int>(p.channels_per_group()));
}

// body(integral constant) with the channels per group.
template <class Body>
void with_group(const Conv2dProblem& p, const Body& body) {
  switch (p.channels_per_group()) {
    case 4:
      return body(std::integral_constant<int, 4>{});
    case 8:
      return body(std::integral_constant<int, 8>{});
    case 16:
      return body(std::integral_constant<int, 16>{});
    default:
      return body(std::integral_constant<int, 32>{});
  }
}

// body(Shape{}) with the tile of a forward or gradInput pass.
template <class Body>
void with_fma_tile(const Conv2dProblem& p, const Body& body) {
  with_group(p, [&](auto group) {
    if (spreads(p))
      body(FmaTile<group(), 1, true>{});
    else if (p.stride_h == 2)
      body(FmaTile<group(), 2, false>{});
    else
      body(FmaTile<group(), 1, false>{});
  });
}

template <class = void>  // so that a unit has its own kernels alone
size_t fma_prepared_bytes(const Conv2dProblem& p) {
  size_t bytes = 0;
  with_fma_tile(p, [&](auto shape) {
    using Members = typename decltype(shape)::Members;
    bytes = sizeof(float) * Members::kValues * Members::kMembers * ceil_div(p.c, kSlab<float>);
  });
  return bytes;
}

template <class = void>
void run_fma_prepare(const Conv2dProblem& p, const float* weight, float* prepared,
                     const ExecutionContext& context) {
  with_fma_tile(p, [&](auto shape) {
    const bool grad_input = p.pass == Conv2dPass::GradInput;
    const WeightReader read{weight, static_cast<int>(p.channels_per_group()), grad_input,
                            grad_input && p.stride_h == 1};
    const auto packs = static_cast<int64_t>(fma_prepared_bytes<>(p) / sizeof(Pack<float, 4>));
    launch(context, grid_for(context, packs), kThreads, 0, prepare_fma<typename decltype(shape)::Members>,
           packs, p.c, read, reinterpret_cast<Pack<float, 4>*>(prepared));
  });
}

template <class Shape, Flaw kFlaw = Flaw::None>
void run_fma_shape(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  const bool forward = p.pass == Conv2dPass::Forward;
  const Lines lines = lines_for<Shape>(p);
  const FmaOperands operands = {forward ? b.x : b.dy,
                                reinterpret_cast<const Pack<float, 4>*>(b.weight),
                                b.bias,
                                forward        ? b.residual
                                : p.accumulate ? b.dx
                                               : nullptr,
                                forward ? b.y : b.dx,
                                p.activation};
  const size_t shared = shared_bytes<Shape>(lines);
  if constexpr (Shape::kSpreads)
    launch(context, grid_of<float>(lines, context), kThreads, shared, spread_fma<Shape, kFlaw>, lines,
           operands);
  else
    launch(context, grid_of<float>(lines, context), kThreads, shared, convolve_fma<Shape, kFlaw>, lines,
           operands);
}

template <class = void>
void run_fma(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  with_fma_tile(p, [&](auto shape) { run_fma_shape<decltype(shape)>(p, b, context); });
}

// The rings, and later what the teams exchange.
template <class Shape>
size_t fma_grad_weight_shared_bytes(const Lines& lines) {
  using Members = typename Shape::Members;
  const size_t exchange = sizeof(float) * Members::kValues * Members::kMembers * (Members::kTeams / 2);
  const int pixels =
      Shape::kSlotsX * lines.images_abreast * lines.width + Shape::kSlotsDy * Shape::kPositions;
  return std::max(exchange, size_t{kPitch} * pixels);
}

template <class Shape, Flaw kFlaw = Flaw::None>
void run_fma_grad_weight_shape(const Conv2dProblem& p, const Conv2dBuffers& b,
                               const ExecutionContext& context) {
  const Lines lines = lines_for<Shape>(p);
  const dim3 grid = grid_of<float>(lines, context);
  const FmaPartials<typename Shape::Members> layout{p.c, static_cast<int>(grid.y)};
  auto* const partial =
      static_cast<float*>(cuda_context(context).scratch(size_t{grid.x} * layout.of_block() * sizeof(float)));
  launch(context, grid, kThreads, fma_grad_weight_shared_bytes<Shape>(lines), grad_weight_fma<Shape, kFlaw>,
         lines, FmaWeightOperands{b.x, b.dy, partial});
  queue_add_partials(layout, grid.x, partial, p.accumulate != 0, b.dweight, context);
}

// body(Shape{}) with the tile of a gradWeight pass.
template <class Body>
void with_fma_grad_weight_tile(const Conv2dProblem& p, const Body& body) {
  with_group(p, [&](auto group) {
    if (p.stride_h == 2)
      body(FmaWeightTile<group(), 2>{});
    else
      body(FmaWeightTile<group(), 1>{});
  });
}

template <class = void>
void run_fma_grad_weight(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  with_fma_grad_weight_tile(p,
                            [&](auto shape) { run_fma_grad_weight_shape<decltype(shape)>(p, b, context); });
}

}  // namespace groupconv::cuda::grouped3x3
