#include "ops/concat/concat.h"

#include "core/door.h"

namespace groupconv {
namespace {

void check_dtype(const char* op, const Tensor& x) {
  if (x.dtype() != DType::Int32) require_computable(op, "x", x);
}

bool same_but(const Shape& a, const Shape& b, int axis) {
  bool same = a.rank() == b.rank();
  for (int i = 0; same && i < a.rank(); ++i) same = i == axis || a[i] == b[i];
  return same;
}

// A channel block that lies beside whole other blocks is a run like any other: count in blocks instead of
// channels.
void use_runs_of_blocks(ConcatProblem& p) {
  const int64_t block = p.from_block;
  const auto blocks = [&](int64_t channels) { return (channels + block - 1) / block; };
  const bool source_ends = p.from_begin + p.count == p.from_extent;  // its pad lanes are zero
  if (p.from_block != p.to_block || p.from_begin % block || p.to_begin % block ||
      (p.count % block && !source_ends))
    return;
  p.from_begin /= block, p.to_begin /= block;
  p.count = blocks(p.count);
  p.from_extent = blocks(p.from_extent), p.to_extent = blocks(p.to_extent);
  p.inner *= block;
  p.from_block = p.to_block = 1;
}

// The copy of x[from_begin, from_begin + count) to y[to_begin, …) along the axis, both in their blocks.
ConcatProblem problem_of(DType dtype, const Shape& x, int x_block, int64_t from_begin, const Shape& y,
                         int y_block, int64_t to_begin, int axis, int64_t count) {
  ConcatProblem p{1, 1, count, x[axis], from_begin, y[axis], to_begin, x_block, y_block, dtype, false, false};
  for (int i = 0; i < axis; ++i) p.outer *= x[i];
  for (int i = axis + 1; i < x.rank(); ++i) p.inner *= x[i];
  if (axis == 1) {
    use_runs_of_blocks(p);
  } else if (x_block > 1) {  // [N, C/B, H, W, B]: the channels' blocks are before the axis or after it, whole
    const int64_t padded = (x[1] + x_block - 1) / x_block * x_block;
    if (axis == 0)
      p.inner = padded * x[2] * x[3];
    else
      p.outer = p.outer / x[1] * (padded / x_block), p.inner *= x_block;
    p.from_block = p.to_block = 1;
  }
  return p;
}

// The channels may come in another block than they go; along another axis both sides need the same.
int source_block(const Tensor& from, int to_block, int axis) { return axis == 1 ? from.block() : to_block; }

}  // namespace

std::ostream& operator<<(std::ostream& out, const ConcatProblem& p) {
  return out << '[' << p.outer << ", " << p.from_extent << ", " << p.inner << "] block " << p.from_block
             << " from " << p.from_begin << ", " << p.count << " of it to " << p.to_extent << " block "
             << p.to_block << " at " << p.to_begin << (p.accumulate ? " accumulated" : "")
             << (p.clear ? " cleared" : "");
}

Registry<ConcatProblem, ConcatBuffers>& concat_registry() {
  static Registry<ConcatProblem, ConcatBuffers> registry("concat");
  return registry;
}

TensorPtr concat(const std::vector<const Tensor*>& inputs, int axis) {
  require(!inputs.empty(), ErrorCode::InvalidArgument, "concat: no tensors");
  const Tensor& first = *inputs[0];
  const int along = axis_from_start("concat", first.shape(), axis);
  int64_t total = 0;
  for (const Tensor* x : inputs) {
    check_dtype("concat", *x);
    require(x->dtype() == first.dtype(), ErrorCode::InvalidArgument, "concat: ", name_of(first.dtype()),
            " and ", name_of(x->dtype()), " don't go together");
    require(same_but(x->shape(), first.shape(), along), ErrorCode::InvalidShape, "concat: ", first.shape(),
            " and ", x->shape(), " differ outside of axis ", along);
    total += x->shape()[along];
  }
  Shape shape;
  for (int i = 0; i < first.shape().rank(); ++i) shape.push_back(i == along ? total : first.shape()[i]);
  const TensorPtr y = make_activation(first.shared_stream(), shape, first.dtype());
  float* to = y->target_in_layout(y->block());
  int64_t begin = 0;
  // In order: a copy of whole blocks writes zeros behind its last channel, where the next one begins.
  for (const Tensor* x : inputs) {
    const int block = source_block(*x, y->block(), along);
    const int64_t count = x->shape()[along];
    const float* from = x->in_layout(block);
    enqueue(y->stream(), concat_registry(),
            problem_of(first.dtype(), x->shape(), block, 0, shape, y->block(), begin, along, count),
            {from, to});
    begin += count;
  }
  return y;
}

TensorPtr slice(const Tensor& x, int axis, int64_t begin, int64_t size) {
  check_dtype("slice", x);
  const int along = axis_from_start("slice", x.shape(), axis);
  require(begin >= 0 && size >= 1 && begin <= x.shape()[along] - size, ErrorCode::InvalidShape,
          "slice: ", size, " from ", begin, " on, axis ", along, " of x ", x.shape(), " has ",
          x.shape()[along]);
  Shape shape;
  for (int i = 0; i < x.shape().rank(); ++i) shape.push_back(i == along ? size : x.shape()[i]);
  const TensorPtr y = make_activation(x.shared_stream(), shape, x.dtype());
  const int block = source_block(x, y->block(), along);
  const float* from = x.in_layout(block);
  enqueue(x.stream(), concat_registry(),
          problem_of(x.dtype(), x.shape(), block, begin, shape, y->block(), 0, along, size),
          {from, y->target_in_layout(y->block())});
  return y;
}

void slice_grad(const Tensor& dy, int axis, int64_t begin, Tensor& dx, GradMode mode) {
  check_dtype("slice", dy);
  const int along = axis_from_start("slice", dx.shape(), axis);
  const int64_t size = same_but(dy.shape(), dx.shape(), along) ? dy.shape()[along] : 0;
  require(size > 0 && begin >= 0 && begin <= dx.shape()[along] - size, ErrorCode::InvalidShape,
          "slice: gradient ", dy.shape(), " from ", begin, " on for x ", dx.shape());
  const int block = dx.activation_block(), from_block = source_block(dy, block, along);
  require_same_dtype("slice", "dx", dx, dy.dtype());
  ConcatProblem problem =
      problem_of(dy.dtype(), dy.shape(), from_block, 0, dx.shape(), block, begin, along, size);
  problem.accumulate = mode == GradMode::Accumulate;
  problem.clear = mode == GradMode::Overwrite;
  const float* from = dy.in_layout(from_block);
  enqueue(dy.stream(), concat_registry(), problem, {from, dx.target_in_layout(block, mode)});
}

}  // namespace groupconv
