// cuDNN without cuDNN: the stand-in records graphs, which are compared with what the documentation demands;
// and libraries that won't do are told. Choosing engines is tested with conv2d.
#include <unistd.h>

#include <filesystem>

#include "cuda/cudnn/session.h"
#include "cuda/testing.h"

#ifdef GROUPCONV_CUDNN_STANDIN
#include "cuda/standin.testing.h"

namespace groupconv {
namespace {

using test::standin;

cuda::cudnn::Convolution grouped_bfloat16() {
  cuda::cudnn::Convolution v{};
  v.dtype = DType::BFloat16;
  v.n = 2, v.c = 32, v.h = 9, v.w = 7, v.k = 16, v.r = 3, v.s = 2, v.p = 5, v.q = 6;
  v.stride_h = 2, v.stride_w = 1, v.dilation_h = 1, v.dilation_w = 2;
  v.pad_top = 1, v.pad_right = 0, v.pad_bottom = 2, v.pad_left = 1, v.groups = 2;
  v.has_bias = 1, v.activation = Activation::Relu6;
  return v;
}

const char* const kExpectedGraph = R"(OperationGraph
  GraphOperations
    ConvolutionForward
      ForwardAlpha 1
      ForwardBeta 0
      ForwardConvolution
        Convolution
          ConvolutionComputeType 0
          ConvolutionMode 1
          ConvolutionDilations 1 2
          ConvolutionStrides 2 1
          ConvolutionPostPaddings 2 0
          ConvolutionPrePaddings 1 1
          ConvolutionSpatialDims 2
      ForwardW
        Tensor
          TensorAlignment 16
          TensorDataType 9
          TensorExtents 16 16 3 2
          TensorStrides 96 1 32 16
          TensorId 1
          TensorIsVirtual 0
      ForwardX
        Tensor
          TensorAlignment 16
          TensorDataType 9
          TensorExtents 2 32 9 7
          TensorStrides 2016 1 224 32
          TensorId 0
          TensorIsVirtual 0
      ForwardY
        Tensor
          TensorAlignment 16
          TensorDataType 0
          TensorExtents 2 16 5 6
          TensorStrides 480 1 96 16
          TensorId 2
          TensorIsVirtual 1
    PointwiseOperation
      PointwiseDescriptor
        Pointwise
          PointwiseMode 0
          PointwiseComputeType 0
      PointwiseX
        Tensor
          TensorAlignment 16
          TensorDataType 0
          TensorExtents 2 16 5 6
          TensorStrides 480 1 96 16
          TensorId 2
          TensorIsVirtual 1
      PointwiseB
        Tensor
          TensorAlignment 16
          TensorDataType 0
          TensorExtents 1 16 1 1
          TensorStrides 16 1 16 16
          TensorId 3
          TensorIsVirtual 0
      PointwiseY
        Tensor
          TensorAlignment 16
          TensorDataType 0
          TensorExtents 2 16 5 6
          TensorStrides 480 1 96 16
          TensorId 4
          TensorIsVirtual 1
    PointwiseOperation
      PointwiseDescriptor
        Pointwise
          PointwiseMode 100
          PointwiseComputeType 0
          PointwiseNanPropagation 1
          PointwiseLowerClip 0
          PointwiseUpperClip 6
      PointwiseX
        Tensor
          TensorAlignment 16
          TensorDataType 0
          TensorExtents 2 16 5 6
          TensorStrides 480 1 96 16
          TensorId 4
          TensorIsVirtual 1
      PointwiseY
        Tensor
          TensorAlignment 16
          TensorDataType 9
          TensorExtents 2 16 5 6
          TensorStrides 480 1 96 16
          TensorId 5
          TensorIsVirtual 0
)";

// Attribute by attribute; a graph that differs in one of them does not pass.
void graphs_say_what_is_meant() {
  using namespace cuda::cudnn;
  test::cuda_stream();
  int handle = 0;
  assemble(grouped_bfloat16(), Recipe::Fused, &handle);
  CHECK_NOTE(standin().graph == kExpectedGraph, standin().graph);
  Convolution swapped = grouped_bfloat16();
  std::swap(swapped.pad_top, swapped.pad_bottom);
  assemble(swapped, Recipe::Fused, &handle);
  CHECK(standin().graph != kExpectedGraph);
}

// What real cuDNN calls a bad parameter, the stand-in refuses, too.
void wrong_graphs_are_refused() {
  using namespace cuda::cudnn;
  const auto refuses = [](Convolution v) {
    int handle = 0;
    try {
      assemble(v, Recipe::Plain, &handle);
    } catch (const Error&) {
      return true;
    }
    return false;
  };
  const Convolution right = grouped_bfloat16();
  CHECK(!refuses(right));
  Convolution wrong = right;
  wrong.q = 7;
  CHECK(refuses(wrong));
  wrong = right, wrong.c = 31;  // of no group
  CHECK(refuses(wrong));
  wrong = right, wrong.stride_w = 0;
  CHECK(refuses(wrong));
  wrong = right, wrong.n = 0;
  CHECK(refuses(wrong));
}

void libraries_that_will_not_do_are_told() {
  using cuda::cudnn::open;
  const cuda::cudnn::Library none = open({"/nowhere/libcudnn.so.9"});
  CHECK(!none.usable() && none.reason.find("/nowhere/libcudnn.so.9") != std::string::npos);
  const cuda::cudnn::Library other = open({"libm.so.6"});
  CHECK(!other.usable() && other.reason.find("lacks cudnnGetVersion") != std::string::npos);
  // cuBLAS lies beside cuDNN, in a neighbouring wheel, or nowhere.
  namespace fs = std::filesystem;
  const fs::path wheels = fs::temp_directory_path() / ("groupconv-wheels-" + std::to_string(getpid()));
  const std::string cudnn = (wheels / "cudnn" / "lib" / "libcudnn.so.9").string();
  const auto missing = [&] { return cuda::cudnn::open_neighbour(cudnn, "cublas", "libcublasLt", 99); };
  CHECK(missing().find("libcublasLt.so.99") != std::string::npos);
  for (const char* folder : {"cudnn/lib", "cublas/lib", "cu99/lib"}) {
    fs::create_directories(wheels / folder);
    fs::create_symlink(GROUPCONV_CUDNN_STANDIN, wheels / folder / "libcublasLt.so.99");
    CHECK_NOTE(missing().empty(), folder);
    fs::remove_all(wheels);
  }
  CHECK(!missing().empty());
  const cuda::cudnn::Library second = open({"/nowhere/libcudnn.so.9", GROUPCONV_CUDNN_STANDIN});
  CHECK(second.usable() && second.version == "9.9.9" && second.path == GROUPCONV_CUDNN_STANDIN);
}

}  // namespace
}  // namespace groupconv

static void tests() {
  using namespace groupconv;
  graphs_say_what_is_meant();
  wrong_graphs_are_refused();
  libraries_that_will_not_do_are_told();
}

int main() { return groupconv::test::on_a_device(tests); }
#else
int main() {}  // the real one is run by cudnn.session.test.cu and the tests of conv2d and linear
#endif
