// A graph of operations on tensors, for which cuDNN then offers engines: a convolution, and what is done to
// its results element by element. A layer of our own over cuDNN's backend API, not NVIDIA's cudnn-frontend:
// that is 3.3 MB of headers, of which convolutions need little, can't be compiled where cuDNN isn't, and
// brings its own way of opening the library.
#pragma once
#include <array>

#include "core/activation.h"
#include "core/dtype.h"
#include "cuda/cudnn/descriptor.h"

namespace groupconv::cuda::cudnn {

// Logical extents, in the order N C H W (of filters: K C/groups R S). Memory is N H W C (K R S C).
using Extents = std::array<int64_t, 4>;

// What is multiplied and added up is float32, whatever the elements are.
constexpr DataType kComputeType = DataType::Float;
constexpr int64_t kAlignment = 16;  // bytes, of every tensor's address
DataType data_type(DType dtype);

struct ConvolutionGeometry {
  std::array<int64_t, 2> stride, dilation;       // h, w
  std::array<int64_t, 2> pad_before, pad_after;  // top, left; bottom, right
};

class Graph {
 public:
  // Tensors go by numbers. Those in memory get their address when a plan is run; intermediate ones are
  // float32 and never reach memory.
  int64_t tensor(DType dtype, const Extents& extents);
  int64_t intermediate(const Extents& extents);

  // Grouped where the filter has fewer channels than x: cuDNN sees it from the extents.
  void forward(const ConvolutionGeometry& geometry, int64_t x, int64_t w, int64_t y);
  void grad_input(const ConvolutionGeometry& geometry, int64_t dy, int64_t w, int64_t dx);
  void grad_weight(const ConvolutionGeometry& geometry, int64_t x, int64_t dy, int64_t dw);
  // y = a + b; b's extents may be 1, then it counts for all.
  void add(int64_t a, int64_t b, int64_t y);
  // NaN stays NaN.
  void activate(Activation activation, int64_t x, int64_t y);

  // No operations after this one.
  const Descriptor& finalize(Handle handle);
  const Descriptor& finalized() const { return finalized_.back(); }

 private:
  int64_t append(DataType type, const Extents& extents, bool is_virtual);
  Descriptor& convolution(const ConvolutionGeometry& geometry);
  Descriptor& operation(DescriptorKind kind);
  Descriptor& pointwise(PointwiseMode mode);
  const Descriptor& at(int64_t tensor) const { return tensors_[static_cast<size_t>(tensor)]; }

  std::vector<Descriptor> tensors_, settings_, operations_, finalized_;
};

}  // namespace groupconv::cuda::cudnn
