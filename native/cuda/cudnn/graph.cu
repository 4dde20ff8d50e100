#include "cuda/cudnn/graph.h"

namespace groupconv::cuda::cudnn {

DataType data_type(DType dtype) {
  switch (dtype) {
    case DType::Float32:
      return DataType::Float;
    case DType::BFloat16:
      return DataType::BFloat16;
    case DType::Float16:
      return DataType::Half;
    case DType::Int32:
      break;
  }
  fail(ErrorCode::Unsupported, "cuDNN: no arithmetic in ", name_of(dtype));
}

int64_t Graph::append(DataType type, const Extents& e, bool is_virtual) {
  const int64_t number = static_cast<int64_t>(tensors_.size());
  tensors_.emplace_back(DescriptorKind::Tensor)
      .set(Attribute::TensorId, number)
      .set(Attribute::TensorDataType, type)
      .set(Attribute::TensorAlignment, kAlignment)
      .set(Attribute::TensorExtents, {e[0], e[1], e[2], e[3]})
      .set(Attribute::TensorStrides, {e[2] * e[3] * e[1], 1, e[3] * e[1], e[1]})
      .set(Attribute::TensorIsVirtual, is_virtual)
      .finalize();
  return number;
}

int64_t Graph::tensor(DType dtype, const Extents& extents) {
  return append(data_type(dtype), extents, false);
}
int64_t Graph::intermediate(const Extents& extents) { return append(kComputeType, extents, true); }

Descriptor& Graph::convolution(const ConvolutionGeometry& g) {
  const auto pair = [](const std::array<int64_t, 2>& both) { return std::vector<int64_t>{both[0], both[1]}; };
  return settings_.emplace_back(DescriptorKind::Convolution)
      .set(Attribute::ConvolutionComputeType, kComputeType)
      .set(Attribute::ConvolutionMode, Type::ConvolutionMode, kCrossCorrelation)
      .set(Attribute::ConvolutionSpatialDims, int64_t{2})
      .set(Attribute::ConvolutionPrePaddings, pair(g.pad_before))
      .set(Attribute::ConvolutionPostPaddings, pair(g.pad_after))
      .set(Attribute::ConvolutionDilations, pair(g.dilation))
      .set(Attribute::ConvolutionStrides, pair(g.stride))
      .finalize();
}

Descriptor& Graph::operation(DescriptorKind kind) { return operations_.emplace_back(kind); }

void Graph::forward(const ConvolutionGeometry& geometry, int64_t x, int64_t w, int64_t y) {
  const Descriptor& settings = convolution(geometry);
  operation(DescriptorKind::ConvolutionForward)
      .set(Attribute::ForwardConvolution, settings)
      .set(Attribute::ForwardX, at(x))
      .set(Attribute::ForwardW, at(w))
      .set(Attribute::ForwardY, at(y))
      .set(Attribute::ForwardAlpha, 1.0f)
      .set(Attribute::ForwardBeta, 0.0f)
      .finalize();
}

void Graph::grad_input(const ConvolutionGeometry& geometry, int64_t dy, int64_t w, int64_t dx) {
  const Descriptor& settings = convolution(geometry);
  operation(DescriptorKind::ConvolutionBackwardData)
      .set(Attribute::DataConvolution, settings)
      .set(Attribute::DataDy, at(dy))
      .set(Attribute::DataW, at(w))
      .set(Attribute::DataDx, at(dx))
      .set(Attribute::DataAlpha, 1.0f)
      .set(Attribute::DataBeta, 0.0f)
      .finalize();
}

void Graph::grad_weight(const ConvolutionGeometry& geometry, int64_t x, int64_t dy, int64_t dw) {
  const Descriptor& settings = convolution(geometry);
  operation(DescriptorKind::ConvolutionBackwardFilter)
      .set(Attribute::FilterConvolution, settings)
      .set(Attribute::FilterX, at(x))
      .set(Attribute::FilterDy, at(dy))
      .set(Attribute::FilterDw, at(dw))
      .set(Attribute::FilterAlpha, 1.0f)
      .set(Attribute::FilterBeta, 0.0f)
      .finalize();
}

Descriptor& Graph::pointwise(PointwiseMode mode) {
  return settings_.emplace_back(DescriptorKind::Pointwise)
      .set(Attribute::PointwiseMode, Type::PointwiseMode, static_cast<int>(mode))
      .set(Attribute::PointwiseComputeType, kComputeType);
}

void Graph::add(int64_t a, int64_t b, int64_t y) {
  const Descriptor& settings = pointwise(PointwiseMode::Add).finalize();
  operation(DescriptorKind::PointwiseOperation)
      .set(Attribute::PointwiseDescriptor, settings)
      .set(Attribute::PointwiseX, at(a))
      .set(Attribute::PointwiseB, at(b))
      .set(Attribute::PointwiseY, at(y))
      .finalize();
}

void Graph::activate(Activation activation, int64_t x, int64_t y) {
  Descriptor& settings = pointwise(PointwiseMode::Relu)
                             .set(Attribute::PointwiseNanPropagation, Type::NanPropagation, kPropagateNan)
                             .set(Attribute::PointwiseLowerClip, 0.0);
  if (activation == Activation::Relu6) settings.set(Attribute::PointwiseUpperClip, 6.0);
  settings.finalize();
  operation(DescriptorKind::PointwiseOperation)
      .set(Attribute::PointwiseDescriptor, settings)
      .set(Attribute::PointwiseX, at(x))
      .set(Attribute::PointwiseY, at(y))
      .finalize();
}

const Descriptor& Graph::finalize(Handle handle) {
  std::vector<RawDescriptor> raws;
  for (const Descriptor& operation : operations_) raws.push_back(operation.raw());
  return finalized_.emplace_back(DescriptorKind::OperationGraph)
      .set(Attribute::GraphHandle, Type::Handle, &handle)
      .set(Attribute::GraphOperations, Type::Descriptor, raws.data(), static_cast<int64_t>(raws.size()))
      .finalize();
}

}  // namespace groupconv::cuda::cudnn
