#include "cuda/emulator/cudnn/descriptors.h"

#include <sstream>

namespace standin {

size_t size_of(DataType type) { return type == DataType::Float ? 4 : 2; }

namespace {

size_t element_bytes(Type type) {
  switch (type) {
    case Type::Handle:
    case Type::Int64:
    case Type::Double:
    case Type::Pointer:
    case Type::Descriptor:
      return 8;
    case Type::Boolean:
    case Type::Character:
      return 1;
    default:
      return 4;  // enumerations and float
  }
}

void check_tensor(const Descriptor& descriptor) {
  const Tensor tensor(descriptor);
  demand(!tensor.extents.empty() && tensor.extents.size() == tensor.strides.size());
  for (int64_t extent : tensor.extents) demand(extent > 0);
  for (int64_t stride : tensor.strides) demand(stride > 0);
  demand(tensor.alignment > 0 && tensor.alignment % static_cast<int64_t>(size_of(tensor.type)) == 0);
}

void check_convolution(const Descriptor& d) {
  d.data_type(Attribute::ConvolutionComputeType);
  d.one<int>(Attribute::ConvolutionMode, Type::ConvolutionMode);
  const auto dims = static_cast<size_t>(d.number(Attribute::ConvolutionSpatialDims));
  for (const Attribute attribute : {Attribute::ConvolutionPrePaddings, Attribute::ConvolutionPostPaddings})
    for (int64_t padding : d.numbers(attribute)) demand(padding >= 0);
  for (const Attribute attribute : {Attribute::ConvolutionStrides, Attribute::ConvolutionDilations}) {
    demand(d.numbers(attribute).size() == dims);
    for (int64_t step : d.numbers(attribute)) demand(step > 0);
  }
  demand(d.numbers(Attribute::ConvolutionPrePaddings).size() == dims &&
         d.numbers(Attribute::ConvolutionPostPaddings).size() == dims);
}

// x [N, G C, …], w [G K, C, …], y [N, G K, …]
void check_convolution_operation(const Descriptor& operation) {
  const ConvolutionOf c(operation);
  const auto &x = c.x.extents, &w = c.w.extents, &y = c.y.extents;
  demand(x.size() == 4 && w.size() == 4 && y.size() == 4 && c.stride.size() == 2);
  demand(x[0] == y[0] && w[0] == y[1] && x[1] % w[1] == 0 && w[0] % c.groups() == 0);
  for (size_t i = 0; i < 2; ++i)
    demand(y[2 + i] ==
           (x[2 + i] + c.before[i] + c.after[i] - c.dilation[i] * (w[2 + i] - 1) - 1) / c.stride[i] + 1);
  const bool forward = operation.kind == DescriptorKind::ConvolutionForward;
  const bool data = operation.kind == DescriptorKind::ConvolutionBackwardData;
  operation.one<float>(forward ? Attribute::ForwardAlpha
                       : data  ? Attribute::DataAlpha
                               : Attribute::FilterAlpha,
                       Type::Float);
  operation.one<float>(forward ? Attribute::ForwardBeta
                       : data  ? Attribute::DataBeta
                               : Attribute::FilterBeta,
                       Type::Float);
}

void check_pointwise_operation(const Descriptor& operation) {
  const Descriptor& settings = operation.child(Attribute::PointwiseDescriptor, DescriptorKind::Pointwise);
  const bool binary = settings.one<int>(Attribute::PointwiseMode, Type::PointwiseMode) ==
                      static_cast<int>(PointwiseMode::Add);
  const Tensor x(operation.child(Attribute::PointwiseX, DescriptorKind::Tensor));
  const Tensor y(operation.child(Attribute::PointwiseY, DescriptorKind::Tensor));
  demand(x.extents == y.extents);
  demand(binary == operation.has(Attribute::PointwiseB));
  if (!binary) return;
  const Tensor b(operation.child(Attribute::PointwiseB, DescriptorKind::Tensor));
  demand(b.extents.size() == x.extents.size());
  for (size_t i = 0; i < x.extents.size(); ++i) demand(b.extents[i] == x.extents[i] || b.extents[i] == 1);
}

void check_graph(const Descriptor& graph) {
  demand(graph.one<void*>(Attribute::GraphHandle, Type::Handle) != nullptr);
  demand(!operations_of(graph).empty());
  for (const Descriptor* operation : operations_of(graph)) demand(operation && operation->finalized);
}

void check_pack(const Descriptor& pack) {
  pack.one<void*>(Attribute::PackWorkspace, Type::Pointer);
  demand(pack.all<void*>(Attribute::PackPointers, Type::Pointer).size() ==
         pack.numbers(Attribute::PackIds).size());
}

}  // namespace

void Descriptor::put(Attribute attribute, Type type, const void* elements, int64_t count) {
  Value& value = attributes[attribute];
  value.type = type, value.count = count;
  const auto* bytes = static_cast<const unsigned char*>(elements);
  value.bytes.assign(bytes, bytes + element_bytes(type) * static_cast<size_t>(count));
}

void check(const Descriptor& d) {
  switch (d.kind) {
    case DescriptorKind::Tensor:
      return check_tensor(d);
    case DescriptorKind::Convolution:
      return check_convolution(d);
    case DescriptorKind::ConvolutionForward:
    case DescriptorKind::ConvolutionBackwardData:
    case DescriptorKind::ConvolutionBackwardFilter:
      return check_convolution_operation(d);
    case DescriptorKind::Pointwise:
      d.one<int>(Attribute::PointwiseMode, Type::PointwiseMode);
      d.data_type(Attribute::PointwiseComputeType);
      return;
    case DescriptorKind::PointwiseOperation:
      return check_pointwise_operation(d);
    case DescriptorKind::OperationGraph:
      return check_graph(d);
    case DescriptorKind::KnobChoice:
      d.one<int>(Attribute::KnobType, Type::KnobType);
      d.number(Attribute::KnobValue);
      return;
    case DescriptorKind::VariantPack:
      return check_pack(d);
    case DescriptorKind::Engine:
      d.child(Attribute::EngineGraph, DescriptorKind::OperationGraph);
      d.number(Attribute::EngineIndex);
      return;
    case DescriptorKind::EngineConfig:
      d.child(Attribute::ConfigEngine, DescriptorKind::Engine);
      return;
    case DescriptorKind::EngineHeuristics:
      d.child(Attribute::HeuristicsGraph, DescriptorKind::OperationGraph);
      d.one<int>(Attribute::HeuristicsMode, Type::HeuristicMode);
      return;
    case DescriptorKind::ExecutionPlan:
      demand(d.one<void*>(Attribute::PlanHandle, Type::Handle) != nullptr);
      if (!d.has(Attribute::PlanText)) d.child(Attribute::PlanConfig, DescriptorKind::EngineConfig);
      return;
  }
  throw Refusal{kNotSupported};
}

Tensor::Tensor(const Descriptor& d)
    : id(d.number(Attribute::TensorId)),
      alignment(d.number(Attribute::TensorAlignment)),
      type(d.data_type(Attribute::TensorDataType)),
      is_virtual(d.has(Attribute::TensorIsVirtual) &&
                 d.one<uint8_t>(Attribute::TensorIsVirtual, Type::Boolean) != 0),
      extents(d.numbers(Attribute::TensorExtents)),
      strides(d.numbers(Attribute::TensorStrides)) {}

int64_t Tensor::size() const {
  int64_t size = 1;
  for (int64_t extent : extents) size *= extent;
  return size;
}

bool is_convolution(DescriptorKind kind) {
  return kind == DescriptorKind::ConvolutionForward || kind == DescriptorKind::ConvolutionBackwardData ||
         kind == DescriptorKind::ConvolutionBackwardFilter;
}

namespace {

Attribute by_kind(DescriptorKind kind, Attribute forward, Attribute data, Attribute filter) {
  return kind == DescriptorKind::ConvolutionForward        ? forward
         : kind == DescriptorKind::ConvolutionBackwardData ? data
                                                           : filter;
}
Tensor part(const Descriptor& d, Attribute forward, Attribute data, Attribute filter) {
  return Tensor(d.child(by_kind(d.kind, forward, data, filter), DescriptorKind::Tensor));
}

}  // namespace

ConvolutionOf::ConvolutionOf(const Descriptor& d)
    : x(part(d, Attribute::ForwardX, Attribute::DataDx, Attribute::FilterX)),
      w(part(d, Attribute::ForwardW, Attribute::DataW, Attribute::FilterDw)),
      y(part(d, Attribute::ForwardY, Attribute::DataDy, Attribute::FilterDy)) {
  const Descriptor& settings = d.child(by_kind(d.kind, Attribute::ForwardConvolution,
                                               Attribute::DataConvolution, Attribute::FilterConvolution),
                                       DescriptorKind::Convolution);
  before = settings.numbers(Attribute::ConvolutionPrePaddings);
  after = settings.numbers(Attribute::ConvolutionPostPaddings);
  stride = settings.numbers(Attribute::ConvolutionStrides);
  dilation = settings.numbers(Attribute::ConvolutionDilations);
}

const Tensor& ConvolutionOf::result(DescriptorKind kind) const {
  return kind == DescriptorKind::ConvolutionForward        ? y
         : kind == DescriptorKind::ConvolutionBackwardData ? x
                                                           : w;
}

std::vector<const Descriptor*> operations_of(const Descriptor& graph) {
  return graph.all<const Descriptor*>(Attribute::GraphOperations, Type::Descriptor);
}

namespace {

#define GROUPCONV_CUDNN_CASE(name, nvidia, value) \
  case value:                                     \
    return #name;
const char* name_of(DescriptorKind kind) {
  switch (static_cast<int>(kind)) { GROUPCONV_CUDNN_DESCRIPTORS(GROUPCONV_CUDNN_CASE) }
  return "?";
}
const char* name_of(Attribute attribute) {
  switch (static_cast<int>(attribute)) { GROUPCONV_CUDNN_ATTRIBUTES(GROUPCONV_CUDNN_CASE) }
  return "?";
}
#undef GROUPCONV_CUDNN_CASE

template <class T>
std::string listed(const Descriptor& d, Attribute attribute, Type type) {
  std::ostringstream text;
  for (const T& value : d.all<T>(attribute, type)) text << ' ' << +value;
  return text.str();
}

}  // namespace

std::string described(const Descriptor& d, const std::string& indent) {
  std::string text = indent + name_of(d.kind) + '\n';
  for (const auto& [attribute, value] : d.attributes) {
    if (value.type == Type::Handle) continue;
    text += indent + "  " + name_of(attribute);
    switch (value.type) {
      case Type::Int64:
        text += listed<int64_t>(d, attribute, value.type) + '\n';
        break;
      case Type::Float:
        text += listed<float>(d, attribute, value.type) + '\n';
        break;
      case Type::Double:
        text += listed<double>(d, attribute, value.type) + '\n';
        break;
      case Type::Boolean:
        text += listed<uint8_t>(d, attribute, value.type) + '\n';
        break;
      case Type::Descriptor:
        text += '\n';
        for (const auto* child : d.all<const Descriptor*>(attribute, value.type))
          text += described(*child, indent + "    ");
        break;
      default:
        text += listed<int>(d, attribute, value.type) + '\n';
    }
  }
  return text;
}

}  // namespace standin
