// From a problem to its kernel: shapes by type, square and stride.
#pragma once
#include <type_traits>

#include "ops/conv2d/grouped3x3.gradWeight.cuda.h"
#include "ops/conv2d/grouped3x3.prepare.cuda.h"

namespace groupconv::cuda::grouped3x3 {

// body(integral constant) with the square's side.
template <class T, class Body>
void with_square(const Conv2dProblem& p, const Body& body) {
  const int square = square_of<T>(static_cast<int>(p.channels_per_group()));
  if constexpr (sizeof(T) == 4)
    if (square == 8) return body(std::integral_constant<int, 8>{});
  if (square == 16) return body(std::integral_constant<int, 16>{});
  body(std::integral_constant<int, 32>{});
}

inline bool spreads(const Conv2dProblem& p) { return p.pass == Conv2dPass::GradInput && p.stride_h == 2; }

// body(Shape{}) with the tile of a forward or gradInput pass.
template <class T, class Body>
void with_tile(const Conv2dProblem& p, const Body& body) {
  with_square<T>(p, [&](auto square) {
    if (spreads(p))
      body(SpreadTile<T, square()>{});
    else if (p.stride_h == 2)
      body(ConvolveTile<T, square(), 2>{});
    else
      body(ConvolveTile<T, square(), 1>{});
  });
}

template <class T>
size_t prepared_bytes(const Conv2dProblem& p) {
  size_t bytes = 0;
  with_tile<T>(p, [&](auto shape) {
    using Shape = decltype(shape);
    bytes = size_t{9} * Shape::kSteps * Shape::kSlices * 32 * sizeof(FragmentB) * (p.c / Shape::kUnit);
  });
  return bytes;
}

template <class T>
void run_prepare(const Conv2dProblem& p, const float* weight, float* prepared,
                 const ExecutionContext& context) {
  with_tile<T>(p, [&](auto shape) {
    const bool grad_input = p.pass == Conv2dPass::GradInput;
    const WeightReader read{weight, static_cast<int>(p.channels_per_group()), grad_input,
                            grad_input && p.stride_h == 1};
    const auto fragments = static_cast<int64_t>(prepared_bytes<T>(p) / sizeof(FragmentB));
    launch(context, grid_for(context, fragments), kThreads, 0, prepare<decltype(shape)>, fragments, read,
           reinterpret_cast<FragmentB*>(prepared));
  });
}

// A grid for lines: blocks that share a slab, slabs.
template <class T>
dim3 grid_of(const Lines& lines, const ExecutionContext& context) {
  const int slabs = ceil_div(lines.channels, kSlab<T>);
  return dim3(blocks_per_slab(lines, slabs, cuda_context(context).multiprocessors), slabs);
}

// How a problem is dealt out in this shape.
template <class Shape>
Lines lines_for(const Conv2dProblem& p) {
  Lines lines = lines_of(p.n, p.p, p.q, Shape::kSegments, Shape::kStride, Shape::kReach);
  // gradWeight's source and target are x and dy.
  const bool from_x = p.pass != Conv2dPass::GradInput;
  lines.channels = p.c;
  lines.source_h = from_x ? p.h : p.p, lines.source_w = from_x ? p.w : p.q;
  lines.target_h = from_x ? p.p : p.h, lines.target_w = from_x ? p.q : p.w;
  return lines;
}
template <class Shape>
size_t shared_bytes(const Lines& lines) {
  return size_t{Shape::kStages} * lines.images_abreast * lines.width * kPitch;
}

template <class Shape, Flaw kFlaw = Flaw::None>
void run_shape(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  using T = typename Shape::T;
  const bool forward = p.pass == Conv2dPass::Forward;
  const Lines lines = lines_for<Shape>(p);
  const Operands<T> operands = {as<T>(forward ? b.x : b.dy),
                                reinterpret_cast<const FragmentB*>(b.weight),
                                b.bias,
                                as<T>(forward        ? b.residual
                                      : p.accumulate ? b.dx
                                                     : static_cast<const float*>(nullptr)),
                                as<T>(forward ? b.y : b.dx),
                                p.activation};
  const size_t shared = shared_bytes<Shape>(lines);
  if constexpr (Shape::kSpreads)
    launch(context, grid_of<T>(lines, context), kThreads, shared, spread<Shape, kFlaw>, lines, operands);
  else
    launch(context, grid_of<T>(lines, context), kThreads, shared, convolve<Shape, kFlaw>, lines, operands);
}

template <class T>
void run(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  with_tile<T>(p, [&](auto shape) { run_shape<decltype(shape)>(p, b, context); });
}

// The ring, and later what the parts of a unit exchange.
template <class Shape>
size_t grad_weight_shared_bytes(const Lines& lines) {
  const int pixels = lines.images_abreast * lines.width + Shape::kPositions;
  const size_t exchange = Shape::kParts > 1 ? size_t{72} * Shape::kUnits * 32 * sizeof(float) : 0;
  return std::max(size_t{Shape::kStages} * pixels * Shape::kPixelPitch, exchange);
}

template <class Shape, Flaw kFlaw = Flaw::None>
void run_grad_weight_shape(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  using T = typename Shape::T;
  const Lines lines = lines_for<Shape>(p);
  const dim3 grid = grid_of<T>(lines, context);
  const Partials layout(p.c, static_cast<int>(p.channels_per_group()));
  auto* const partial =
      static_cast<float*>(cuda_context(context).scratch(size_t{grid.x} * layout.of_block() * sizeof(float)));
  const GradWeightOperands<T> operands = {as<T>(b.x), as<T>(b.dy), partial, layout};
  launch(context, grid, kThreads, grad_weight_shared_bytes<Shape>(lines), grad_weight<Shape, kFlaw>, lines,
         operands);
  queue_add_partials(SquarePartials<Shape::kSquare>(layout), grid.x, partial, p.accumulate != 0, b.dweight,
                     context);
}

// body(Shape{}) with the tile of a gradWeight pass.
template <class T, class Body>
void with_grad_weight_tile(const Conv2dProblem& p, const Body& body) {
  const auto with_side = [&](auto side) {
    if (p.stride_h == 2)
      body(GradWeightTile<T, side(), 2>{});
    else
      body(GradWeightTile<T, side(), 1>{});
  };
  if (p.channels_per_group() <= 16)
    with_side(std::integral_constant<int, 16>{});
  else
    with_side(std::integral_constant<int, 32>{});
}

template <class T>
void run_grad_weight(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  with_grad_weight_tile<T>(p, [&](auto shape) { run_grad_weight_shape<decltype(shape)>(p, b, context); });
}

}  // namespace groupconv::cuda::grouped3x3
