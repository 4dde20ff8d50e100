#include "ops/conv2d/conv2d.h"

#include <limits>
#include <string_view>
#include <type_traits>

#include "core/door.h"

namespace groupconv {
namespace {

// Of bias and norm.
void check_parameter(const char* name, const Tensor& tensor, const Shape& expected) {
  require_shape("conv2d", name, tensor, expected);
  require_float32("conv2d", name, tensor);
}

// Of residual and gradients.
void check_activation(const char* name, const Tensor& tensor, const Shape& expected, DType dtype) {
  require_shape("conv2d", name, tensor, expected);
  require_same_dtype("conv2d", name, tensor, dtype);
}

// Derived forms depend on the weight's shape, the solver and the arithmetic's geometry, not on the image
// size. Without padding: its bytes are the key.
struct PreparedKey {
  const Conv2dSolver* solver;
  Conv2dProblem problem;
  int32_t of_bias, of_norm;

  PreparedKey(const Conv2dSolver& solver, const Conv2dProblem& of, bool of_bias, bool of_norm)
      : solver(&solver), problem(of), of_bias(of_bias), of_norm(of_norm) {
    problem.n = problem.h = problem.w = problem.p = problem.q = 0;
    problem.has_residual = problem.has_bias = problem.accumulate = 0;
    problem.tf32 = problem.varying_order = 0;
    problem.activation = Activation::None;
  }
  std::string_view bytes() const { return {reinterpret_cast<const char*>(this), sizeof *this}; }
};
static_assert(std::has_unique_object_representations_v<PreparedKey>);

int32_t output_extent(const char* axis, int64_t input, int64_t kernel, int64_t stride, int64_t dilation,
                      int64_t pad_before, int64_t pad_after) {
  const int64_t reach = dilation * (kernel - 1) + 1, padded = input + pad_before + pad_after;
  require(padded >= reach, ErrorCode::InvalidShape, "conv2d: kernel ", kernel, " with dilation ", dilation,
          " spans ", reach, ", x's ", axis, " ", input, " has ", padded, " with its padding");
  return static_cast<int32_t>((padded - reach) / stride + 1);
}

struct Prepared {
  const float* weight;
  const float* bias;  // null where the problem has none
};

constexpr int64_t kBiasMultiple = 16;  // the widest vector

// Weight and bias as the solver wants them: folded, padded, packed; kept with the weight until one of them
// changes.
Prepared prepare(const Conv2dSolver& solver, const Conv2dProblem& problem, const Tensor& weight,
                 const Tensor* bias, const FoldedNorm* norm) {
  const float* plain = weight.in_layout(1);
  const size_t packed = solver.prepare ? (solver.prepared_bytes(problem) + 3) / sizeof(float)
                        : norm         ? static_cast<size_t>(weight.size())
                                       : 0;
  const size_t packed_aligned = (packed + kBiasMultiple - 1) / kBiasMultiple * kBiasMultiple;
  const size_t padded =
      problem.has_bias ? (problem.k + kBiasMultiple - 1) / kBiasMultiple * kBiasMultiple : 0;
  if (packed + padded == 0) return {plain, nullptr};
  const Stamp stamp =
      norm ? Stamp({&weight, bias, norm->weight, norm->bias, norm->mean, norm->variance}, norm->eps)
           : Stamp({&weight, bias});
  const PreparedKey key(solver, problem, bias, norm);
  const float* derived =
      weight.derived(key.bytes(), stamp, (packed_aligned + padded) * sizeof(float), [&](float* target) {
        Stream& stream = weight.stream();
        const Workspace folded(stream, norm && solver.prepare ? weight.logical_bytes() : 0);
        float* folded_weight = !norm ? nullptr : solver.prepare ? static_cast<float*>(folded.data()) : target;
        if (padded) {
          const Conv2dFoldProblem fold{problem.k, static_cast<int32_t>(weight.size() / problem.k),
                                       bias != nullptr, norm != nullptr, norm ? norm->eps : 0};
          const auto vector = [](const Tensor* tensor) { return tensor ? tensor->in_layout(1) : nullptr; };
          const Conv2dFoldBuffers buffers{plain,
                                          vector(bias),
                                          norm ? vector(norm->weight) : nullptr,
                                          norm ? vector(norm->bias) : nullptr,
                                          norm ? vector(norm->mean) : nullptr,
                                          norm ? vector(norm->variance) : nullptr,
                                          folded_weight,
                                          target + packed_aligned,
                                          nullptr};
          enqueue(stream, conv2d_fold_registry(), fold, buffers);
        }
        if (solver.prepare)
          stream.submit([prepare = solver.prepare, problem, from = norm ? folded_weight : plain, target](
                            const ExecutionContext& context) { prepare(problem, from, target, context); });
      });
  return {packed ? derived : plain, padded ? derived + packed_aligned : nullptr};
}

// Room for the moments of y's planes, of which none is stored yet.
PlaneMoments attach_moments(Tensor& y) {
  const Shape& shape = y.shape();
  const int64_t block = y.block(), planes = shape[0] * ((shape[1] + block - 1) / block);
  const size_t bytes = PlaneMoments::bytes(planes, block);
  const auto memory = std::make_shared<Storage>(y.shared_stream(), bytes, bytes);
  const PlaneMoments moments = PlaneMoments::at(memory->data(), planes);
  y.stream().submit([moments, planes](const ExecutionContext&) {
    std::memset(moments.stored, 0, PlaneMoments::stored_bytes(planes));
  });
  y.attach(memory);
  return moments;
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Conv2dProblem& p) {
  constexpr const char* passes[] = {"forward", "gradInput", "gradWeight"};
  out << passes[static_cast<int>(p.pass)] << " x[" << p.n << ',' << p.c << ',' << p.h << ',' << p.w << "] w["
      << p.k << ',' << p.channels_per_group() << ',' << p.r << ',' << p.s << ']';
  if (p.stride_h != 1 || p.stride_w != 1) out << " stride " << p.stride_h << ',' << p.stride_w;
  if (p.dilation_h != 1 || p.dilation_w != 1) out << " dilation " << p.dilation_h << ',' << p.dilation_w;
  if (p.pad_top || p.pad_right || p.pad_bottom || p.pad_left)
    out << " pad " << p.pad_top << ',' << p.pad_right << ',' << p.pad_bottom << ',' << p.pad_left;
  if (p.groups != 1) out << " groups " << p.groups;
  if (p.has_bias) out << " +bias";
  if (p.has_residual) out << " +residual";
  if (p.activation != Activation::None) out << (p.activation == Activation::Relu ? " +relu" : " +relu6");
  return out;
}

std::ostream& operator<<(std::ostream& out, const Conv2dFoldProblem& p) {
  return out << "fold k " << p.k << " of " << p.per_output << (p.has_norm ? " with norm" : "");
}

Registry<Conv2dProblem, Conv2dBuffers>& conv2d_registry() {
  static Registry<Conv2dProblem, Conv2dBuffers> registry("conv2d");
  return registry;
}

Registry<Conv2dFoldProblem, Conv2dFoldBuffers>& conv2d_fold_registry() {
  static Registry<Conv2dFoldProblem, Conv2dFoldBuffers> registry("conv2dFold");
  return registry;
}

Conv2dProblem conv2d_problem(const Shape& x, const Shape& weight, const Conv2dGeometry& g) {
  require(x.rank() == 4 && weight.rank() == 4, ErrorCode::InvalidShape, "conv2d: x ", x, " and weight ",
          weight, " must have four dimensions, [N, C, H, W] and [K, C / groups, R, S]");
  for (int i = 0; i < 2; ++i)
    require(g.stride[i] >= 1 && g.dilation[i] >= 1, ErrorCode::InvalidArgument,
            "conv2d: stride and dilation are at least 1, found stride ", g.stride[i], ", dilation ",
            g.dilation[i]);
  for (int32_t padding : g.padding)
    require(padding >= 0, ErrorCode::InvalidArgument, "conv2d: padding is at least 0, found ", padding);
  require(g.groups >= 1, ErrorCode::InvalidArgument, "conv2d: groups is at least 1, found ", g.groups);
  require(x[1] == weight[1] * g.groups, ErrorCode::InvalidShape, "conv2d: weight ", weight, " with groups ",
          g.groups, " takes ", weight[1] * g.groups, " input channels, x ", x, " has ", x[1]);
  require(weight[0] % g.groups == 0, ErrorCode::InvalidShape, "conv2d: ", weight[0],
          " output channels don't divide into ", g.groups, " groups");
  for (const Shape& shape : {x, weight})
    for (int64_t extent : shape)
      require(extent <= std::numeric_limits<int32_t>::max(), ErrorCode::InvalidShape, "conv2d: extent ",
              extent);
  const auto narrow = [](int64_t extent) { return static_cast<int32_t>(extent); };
  Conv2dProblem problem{};
  problem.n = narrow(x[0]), problem.c = narrow(x[1]), problem.h = narrow(x[2]), problem.w = narrow(x[3]);
  problem.k = narrow(weight[0]), problem.r = narrow(weight[2]), problem.s = narrow(weight[3]);
  problem.stride_h = g.stride[0], problem.stride_w = g.stride[1];
  problem.dilation_h = g.dilation[0], problem.dilation_w = g.dilation[1];
  problem.pad_top = g.padding[0], problem.pad_right = g.padding[1];
  problem.pad_bottom = g.padding[2], problem.pad_left = g.padding[3];
  problem.groups = g.groups;
  problem.p = output_extent("height", problem.h, problem.r, problem.stride_h, problem.dilation_h,
                            problem.pad_top, problem.pad_bottom);
  problem.q = output_extent("width", problem.w, problem.s, problem.stride_w, problem.dilation_w,
                            problem.pad_left, problem.pad_right);
  return problem;
}

void conv2d_set_stream(Conv2dProblem& problem, const Stream& stream) {
  problem.x_block = stream.activation_block(problem.c);
  problem.y_block = stream.activation_block(problem.k);
  problem.tf32 = stream.liberties().tf32;
  problem.varying_order = stream.liberties().varying_order;
}

TensorPtr conv2d(const Tensor& x, const Tensor& weight, const Tensor* bias, const FoldedNorm* norm,
                 Residual residual, Activation activation, const Conv2dGeometry& geometry, bool normed) {
  Conv2dProblem problem = conv2d_problem(x.shape(), weight.shape(), geometry);
  require_computable("conv2d", "x", x);
  require_float32("conv2d", "weight", weight);
  problem.dtype = x.dtype();
  if (bias) check_parameter("bias", *bias, {problem.k});
  if (norm)
    for (const Tensor* tensor : {norm->weight, norm->bias, norm->mean, norm->variance})
      if (tensor) check_parameter("norm", *tensor, {problem.k});
  const Shape y_shape{problem.n, problem.k, problem.p, problem.q};
  if (residual.tensor) check_activation("residual", *residual.tensor, y_shape, x.dtype());

  Stream& stream = x.stream();
  problem.pass = Conv2dPass::Forward;
  conv2d_set_stream(problem, stream);
  problem.has_bias = bias || norm;
  problem.has_residual = residual.tensor != nullptr;
  problem.activation = activation;
  const Conv2dSolver& solver = conv2d_registry().choose(stream, problem);
  const Prepared prepared = prepare(solver, problem, weight, bias, norm);
  Conv2dBuffers buffers{};
  buffers.x = x.in_layout(problem.x_block);
  buffers.weight = prepared.weight;
  buffers.bias = prepared.bias;
  buffers.residual = residual.tensor ? residual.tensor->in_layout(problem.y_block) : nullptr;
  TensorPtr y =
      residual.expendable && solver.in_place ? residual.tensor->give_memory(problem.y_block) : nullptr;
  if (!y) y = make_tensor(x.shared_stream(), y_shape, x.dtype(), problem.y_block);
  buffers.y = y->target_in_layout(problem.y_block);
  if (normed && stream.device().kind == DeviceKind::Cpu && problem.y_block > 1)
    buffers.moments = attach_moments(*y);
  enqueue(stream, solver, problem, buffers);
  return y;
}

void conv2d_grad_input(const Tensor& dy, const Tensor& weight, const Conv2dGeometry& geometry, Tensor& dx,
                       GradMode mode) {
  Conv2dProblem problem = conv2d_problem(dx.shape(), weight.shape(), geometry);
  require_computable("conv2d", "dx", dx);
  require_float32("conv2d", "weight", weight);
  problem.dtype = dx.dtype();
  check_activation("dy", dy, {problem.n, problem.k, problem.p, problem.q}, dx.dtype());
  Stream& stream = dy.stream();
  problem.pass = Conv2dPass::GradInput;
  conv2d_set_stream(problem, stream);
  problem.accumulate = mode == GradMode::Accumulate;
  const Conv2dSolver& solver = conv2d_registry().choose(stream, problem);
  Conv2dBuffers buffers{};
  buffers.weight = prepare(solver, problem, weight, nullptr, nullptr).weight;
  buffers.dy = dy.in_layout(problem.y_block);
  buffers.dx = dx.target_in_layout(problem.x_block, mode);
  enqueue(stream, solver, problem, buffers);
}

void conv2d_grad_weight(const Tensor& x, const Tensor& dy, const Conv2dGeometry& geometry, Tensor& dweight,
                        GradMode mode) {
  Conv2dProblem problem = conv2d_problem(x.shape(), dweight.shape(), geometry);
  require_computable("conv2d", "x", x);
  require_float32("conv2d", "dweight", dweight);
  problem.dtype = x.dtype();
  check_activation("dy", dy, {problem.n, problem.k, problem.p, problem.q}, x.dtype());
  Stream& stream = x.stream();
  problem.pass = Conv2dPass::GradWeight;
  conv2d_set_stream(problem, stream);
  problem.accumulate = mode == GradMode::Accumulate;
  const Conv2dSolver& solver = conv2d_registry().choose(stream, problem);
  Conv2dBuffers buffers{};
  buffers.x = x.in_layout(problem.x_block);
  buffers.dy = dy.in_layout(problem.y_block);
  buffers.dweight = dweight.target_in_layout(1, mode);
  enqueue(stream, solver, problem, buffers);
}

}  // namespace groupconv
