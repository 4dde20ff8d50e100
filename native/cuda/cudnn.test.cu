// cuDNN without cuDNN: the stand-in records graphs, which are compared with what the documentation demands;
// plans are captured and run; and libraries that won't do are told. Choosing engines is tested with conv2d.
#include <unistd.h>

#include <filesystem>

#include "cuda/cudnn/session.h"
#include "cuda/testing.h"

#ifdef GROUPCONV_CUDNN_STANDIN
#include "cuda/emulator/control.h"
#include "cuda/settings.h"
#include "cuda/standin.testing.h"

namespace groupconv {
namespace {

using test::standin;

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

cuda::cudnn::Convolution grouped_bfloat16() {
  cuda::cudnn::Convolution v{};
  v.dtype = DType::BFloat16;
  v.n = 2, v.c = 32, v.h = 9, v.w = 7, v.k = 16, v.r = 3, v.s = 2, v.p = 5, v.q = 6;
  v.stride_h = 2, v.stride_w = 1, v.dilation_h = 1, v.dilation_w = 2;
  v.pad_top = 1, v.pad_right = 0, v.pad_bottom = 2, v.pad_left = 1, v.groups = 2;
  v.has_bias = 1, v.activation = Activation::Relu6;
  return v;
}

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

// One pixel, 16 channels in two groups of 8, bfloat16.
cuda::cudnn::Convolution one_pixel() {
  cuda::cudnn::Convolution v = grouped_bfloat16();
  v.n = v.h = v.w = v.p = v.q = v.r = v.s = v.stride_h = v.dilation_w = 1, v.c = v.k = 16;
  v.pad_top = v.pad_bottom = v.pad_left = 0;
  v.has_bias = 0, v.activation = Activation::None;
  return v;
}

// Operands of one_pixel: all of them 1.
struct Ones {
  explicit Ones(cuda::Engine& engine) : engine(engine) {
    for (uint16_t*& memory : blocks) {
      memory = static_cast<uint16_t*>(engine.allocate(256));
      std::fill_n(memory, 128, uint16_t{0x3f80});
    }
  }
  ~Ones() {
    for (uint16_t* memory : blocks) engine.release(memory);
  }
  cuda::Engine& engine;
  uint16_t* blocks[3];
};

// Results that take part in their own sum: the stand-in refuses to read where it writes.
void nothing_is_read_where_it_is_written() {
  const auto engine = cuda::open_engine(0);
  for (const bool forward : {true, false}) {
    const Ones ones(*engine);
    cuda::cudnn::Convolution v = one_pixel();
    cuda::cudnn::Operands operands{};
    operands.filter = ones.blocks[1];
    if (forward) {
      v.has_residual = 1;
      operands.x = ones.blocks[0], operands.residual = operands.y = ones.blocks[2];
    } else {
      v.pass = cuda::cudnn::Pass::GradInput, v.accumulate = 1, v.groups = 1;
      v.c = 8;
      operands.dy = ones.blocks[0], operands.dx = ones.blocks[2];
    }
    CHECK(cuda::cudnn::run(v, operands, engine->context()));
    CHECK(ones.blocks[2][0] == (forward ? 0x4110 : 0x4188));  // 8 products or 16, and the 1 that was there
  }
}

// Measuring takes memory for the result. Where there is none, cuDNN's first engine stays, and no call builds
// another plan.
void want_of_memory_settles_a_choice() {
  const auto engine = cuda::open_engine(0);
  const Ones ones(*engine);
  cuda::cudnn::Operands operands{};
  operands.x = ones.blocks[0], operands.filter = ones.blocks[1], operands.y = ones.blocks[2];
  const auto run = [&] { CHECK(cuda::cudnn::run(one_pixel(), operands, engine->context())); };
  run();
  std::atomic<bool> autotune{true};
  int kept = 0;
  cuda::Settings settings;
  settings.autotune = &autotune;
  settings.put_engine = [&](const TunedChoice&) { ++kept; };
  cuda::attach_settings(settings);
  emulator::set_memory(emulator::memory_in_use());
  run();
  const int plans = standin().plans;
  for (int i = 0; i < 3; ++i) run();
  CHECK(standin().plans == plans && kept == 0);
  emulator::set_memory(~size_t{0});
  cuda::attach_settings(cuda::addon_settings());
  const cuda::cudnn::Session& session = *cuda::cuda_context(engine->context()).cudnn();
  CHECK(session.retired.size() == 1);
}

// Recorded once, run twice: nothing is measured or read while recording.
void plans_are_captured() {
  const auto engine = cuda::open_engine(0);
  const auto& context = engine->context();
  const cuda::cudnn::Convolution v = one_pixel();
  const auto block = [&](size_t bytes) { return static_cast<uint16_t*>(engine->allocate(bytes)); };
  uint16_t *x = block(32), *filter = block(256), *y = block(32);
  std::fill_n(x, 16, uint16_t{0x3f80});        // 1
  std::fill_n(filter, 128, uint16_t{0x3f80});  // 8 for each output
  std::fill_n(y, 16, uint16_t{0});
  cuda::cudnn::Operands operands{};
  operands.x = x, operands.filter = filter, operands.y = y;
  engine->begin_capture();
  CHECK(cuda::cudnn::run(v, operands, context));
  const auto graph = engine->end_capture();
  CHECK(y[0] == 0);
  engine->launch(*graph);
  CHECK(y[0] == 0x4100 && y[15] == 0x4100);
  x[0] = 0x4000;  // 2: the first group's sums are 9
  engine->launch(*graph);
  CHECK(y[0] == 0x4110 && y[15] == 0x4100);
  for (uint16_t* memory : {x, filter, y}) engine->release(memory);
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
  plans_are_captured();
  nothing_is_read_where_it_is_written();
  want_of_memory_settles_a_choice();
  libraries_that_will_not_do_are_told();
}

int main() { return groupconv::test::on_a_device(tests); }
#else
int main() {}  // the real one is run by conv2d's and linear's tests
#endif
