// cuDNN's backend API, version 9, as far as groupconv speaks it: numbers and function types. They are
// declared here, by value, so that everything is built and tested where no cuDNN is; abi_check.cu compares
// each with NVIDIA's headers wherever those are found. A list's entry is X(our name, NVIDIA's name without
// prefix, value).
#pragma once
#include <cstddef>
#include <cstdint>

namespace groupconv::cuda::cudnn {

#define GROUPCONV_CUDNN_DATA_TYPES(X) X(Float, FLOAT, 0) X(Half, HALF, 2) X(BFloat16, BFLOAT16, 9)

#define GROUPCONV_CUDNN_DESCRIPTORS(X)                                               \
  X(Pointwise, POINTWISE_DESCRIPTOR, 0)                                              \
  X(Convolution, CONVOLUTION_DESCRIPTOR, 1)                                          \
  X(Engine, ENGINE_DESCRIPTOR, 2)                                                    \
  X(EngineConfig, ENGINECFG_DESCRIPTOR, 3)                                           \
  X(EngineHeuristics, ENGINEHEUR_DESCRIPTOR, 4)                                      \
  X(ExecutionPlan, EXECUTION_PLAN_DESCRIPTOR, 5)                                     \
  X(KnobChoice, KNOB_CHOICE_DESCRIPTOR, 7)                                           \
  X(ConvolutionForward, OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, 10)                \
  X(ConvolutionBackwardFilter, OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR, 11) \
  X(ConvolutionBackwardData, OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR, 12)     \
  X(PointwiseOperation, OPERATION_POINTWISE_DESCRIPTOR, 13)                          \
  X(OperationGraph, OPERATIONGRAPH_DESCRIPTOR, 15)                                   \
  X(VariantPack, VARIANT_PACK_DESCRIPTOR, 16)                                        \
  X(Tensor, TENSOR_DESCRIPTOR, 17)

#define GROUPCONV_CUDNN_TYPES(X)          \
  X(Handle, HANDLE, 0)                    \
  X(DataType, DATA_TYPE, 1)               \
  X(Boolean, BOOLEAN, 2)                  \
  X(Int64, INT64, 3)                      \
  X(Float, FLOAT, 4)                      \
  X(Double, DOUBLE, 5)                    \
  X(Pointer, VOID_PTR, 6)                 \
  X(ConvolutionMode, CONVOLUTION_MODE, 7) \
  X(HeuristicMode, HEUR_MODE, 8)          \
  X(KnobType, KNOB_TYPE, 9)               \
  X(NanPropagation, NAN_PROPOGATION, 10)  \
  X(NumericalNote, NUMERICAL_NOTE, 11)    \
  X(PointwiseMode, POINTWISE_MODE, 14)    \
  X(Descriptor, BACKEND_DESCRIPTOR, 15)   \
  X(BehaviorNote, BEHAVIOR_NOTE, 19)      \
  X(Character, CHAR, 24)

#define GROUPCONV_CUDNN_ATTRIBUTES(X)                                   \
  X(PointwiseMode, POINTWISE_MODE, 0)                                   \
  X(PointwiseComputeType, POINTWISE_MATH_PREC, 1)                       \
  X(PointwiseNanPropagation, POINTWISE_NAN_PROPAGATION, 2)              \
  X(PointwiseLowerClip, POINTWISE_RELU_LOWER_CLIP, 3)                   \
  X(PointwiseUpperClip, POINTWISE_RELU_UPPER_CLIP, 4)                   \
  X(ConvolutionComputeType, CONVOLUTION_COMP_TYPE, 100)                 \
  X(ConvolutionMode, CONVOLUTION_CONV_MODE, 101)                        \
  X(ConvolutionDilations, CONVOLUTION_DILATIONS, 102)                   \
  X(ConvolutionStrides, CONVOLUTION_FILTER_STRIDES, 103)                \
  X(ConvolutionPostPaddings, CONVOLUTION_POST_PADDINGS, 104)            \
  X(ConvolutionPrePaddings, CONVOLUTION_PRE_PADDINGS, 105)              \
  X(ConvolutionSpatialDims, CONVOLUTION_SPATIAL_DIMS, 106)              \
  X(HeuristicsMode, ENGINEHEUR_MODE, 200)                               \
  X(HeuristicsGraph, ENGINEHEUR_OPERATION_GRAPH, 201)                   \
  X(HeuristicsResults, ENGINEHEUR_RESULTS, 202)                         \
  X(ConfigEngine, ENGINECFG_ENGINE, 300)                                \
  X(ConfigKnobs, ENGINECFG_KNOB_CHOICES, 302)                           \
  X(PlanHandle, EXECUTION_PLAN_HANDLE, 400)                             \
  X(PlanConfig, EXECUTION_PLAN_ENGINE_CONFIG, 401)                      \
  X(PlanWorkspaceBytes, EXECUTION_PLAN_WORKSPACE_SIZE, 402)             \
  X(PlanText, EXECUTION_PLAN_JSON_REPRESENTATION, 405)                  \
  X(KnobType, KNOB_CHOICE_KNOB_TYPE, 600)                               \
  X(KnobValue, KNOB_CHOICE_KNOB_VALUE, 601)                             \
  X(ForwardAlpha, OPERATION_CONVOLUTION_FORWARD_ALPHA, 700)             \
  X(ForwardBeta, OPERATION_CONVOLUTION_FORWARD_BETA, 701)               \
  X(ForwardConvolution, OPERATION_CONVOLUTION_FORWARD_CONV_DESC, 702)   \
  X(ForwardW, OPERATION_CONVOLUTION_FORWARD_W, 703)                     \
  X(ForwardX, OPERATION_CONVOLUTION_FORWARD_X, 704)                     \
  X(ForwardY, OPERATION_CONVOLUTION_FORWARD_Y, 705)                     \
  X(DataAlpha, OPERATION_CONVOLUTION_BWD_DATA_ALPHA, 706)               \
  X(DataBeta, OPERATION_CONVOLUTION_BWD_DATA_BETA, 707)                 \
  X(DataConvolution, OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, 708)     \
  X(DataW, OPERATION_CONVOLUTION_BWD_DATA_W, 709)                       \
  X(DataDx, OPERATION_CONVOLUTION_BWD_DATA_DX, 710)                     \
  X(DataDy, OPERATION_CONVOLUTION_BWD_DATA_DY, 711)                     \
  X(FilterAlpha, OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, 712)           \
  X(FilterBeta, OPERATION_CONVOLUTION_BWD_FILTER_BETA, 713)             \
  X(FilterConvolution, OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, 714) \
  X(FilterDw, OPERATION_CONVOLUTION_BWD_FILTER_DW, 715)                 \
  X(FilterX, OPERATION_CONVOLUTION_BWD_FILTER_X, 716)                   \
  X(FilterDy, OPERATION_CONVOLUTION_BWD_FILTER_DY, 717)                 \
  X(PointwiseDescriptor, OPERATION_POINTWISE_PW_DESCRIPTOR, 750)        \
  X(PointwiseX, OPERATION_POINTWISE_XDESC, 751)                         \
  X(PointwiseB, OPERATION_POINTWISE_BDESC, 752)                         \
  X(PointwiseY, OPERATION_POINTWISE_YDESC, 753)                         \
  X(GraphHandle, OPERATIONGRAPH_HANDLE, 800)                            \
  X(GraphOperations, OPERATIONGRAPH_OPS, 801)                           \
  X(GraphEngines, OPERATIONGRAPH_ENGINE_GLOBAL_COUNT, 802)              \
  X(TensorAlignment, TENSOR_BYTE_ALIGNMENT, 900)                        \
  X(TensorDataType, TENSOR_DATA_TYPE, 901)                              \
  X(TensorExtents, TENSOR_DIMENSIONS, 902)                              \
  X(TensorStrides, TENSOR_STRIDES, 903)                                 \
  X(TensorId, TENSOR_UNIQUE_ID, 906)                                    \
  X(TensorIsVirtual, TENSOR_IS_VIRTUAL, 907)                            \
  X(PackIds, VARIANT_PACK_UNIQUE_IDS, 1000)                             \
  X(PackPointers, VARIANT_PACK_DATA_POINTERS, 1001)                     \
  X(PackWorkspace, VARIANT_PACK_WORKSPACE, 1003)                        \
  X(EngineGraph, ENGINE_OPERATION_GRAPH, 1300)                          \
  X(EngineIndex, ENGINE_GLOBAL_INDEX, 1301)                             \
  X(EngineNumericalNotes, ENGINE_NUMERICAL_NOTE, 1303)                  \
  X(EngineBehaviorNotes, ENGINE_BEHAVIOR_NOTE, 1305)

#define GROUPCONV_CUDNN_POINTWISE(X) X(Add, ADD, 0) X(Relu, RELU_FWD, 100)

#define GROUPCONV_CUDNN_HEURISTICS(X) X(B, B, 1) X(Fallback, FALLBACK, 2) X(A, A, 3)

#define GROUPCONV_CUDNN_NOTES(X)                               \
  X(TensorCore, TENSOR_CORE, 0)                                \
  X(DownConvertInputs, DOWN_CONVERT_INPUTS, 1)                 \
  X(ReducedPrecisionReduction, REDUCED_PRECISION_REDUCTION, 2) \
  X(Fft, FFT, 3)                                               \
  X(Nondeterministic, NONDETERMINISTIC, 4)                     \
  X(Winograd, WINOGRAD, 5)

#define GROUPCONV_CUDNN_VALUE(name, nvidia, value) name = value,
enum class DataType : int { GROUPCONV_CUDNN_DATA_TYPES(GROUPCONV_CUDNN_VALUE) };
enum class DescriptorKind : int { GROUPCONV_CUDNN_DESCRIPTORS(GROUPCONV_CUDNN_VALUE) };
enum class Type : int { GROUPCONV_CUDNN_TYPES(GROUPCONV_CUDNN_VALUE) };
enum class Attribute : int { GROUPCONV_CUDNN_ATTRIBUTES(GROUPCONV_CUDNN_VALUE) };
enum class PointwiseMode : int { GROUPCONV_CUDNN_POINTWISE(GROUPCONV_CUDNN_VALUE) };
enum class HeuristicMode : int { GROUPCONV_CUDNN_HEURISTICS(GROUPCONV_CUDNN_VALUE) };
enum class NumericalNote : int { GROUPCONV_CUDNN_NOTES(GROUPCONV_CUDNN_VALUE) };
#undef GROUPCONV_CUDNN_VALUE

constexpr int kCrossCorrelation = 1;   // of Type::ConvolutionMode
constexpr int kPropagateNan = 1;       // of Type::NanPropagation
constexpr int kCompilesAtRunTime = 0;  // of Type::BehaviorNote
constexpr int kSplitSum = 17;          // of Type::KnobType: into how many parts
constexpr int kMostNotes = 16;         // more than any version of cuDNN 9 has
constexpr int kMostKnobs = 128;

// A status says its kind in thousands.
using Status = int;
constexpr Status kSuccess = 0, kBadParameter = 2000, kNotSupported = 3000, kHostAllocationFailed = 4003,
                 kDeviceAllocationFailed = 4004;

using Handle = void*;
using RawDescriptor = void*;

// The library's functions; enumerations travel as the ints that they are.
struct Functions {
  size_t (*get_version)();
  const char* (*get_error_string)(Status);
  Status (*create)(Handle*);
  Status (*destroy)(Handle);
  Status (*set_stream)(Handle, void* stream);
  Status (*create_descriptor)(DescriptorKind, RawDescriptor*);
  Status (*destroy_descriptor)(RawDescriptor);
  Status (*finalize)(RawDescriptor);
  Status (*set_attribute)(RawDescriptor, Attribute, Type, int64_t count, const void* elements);
  Status (*get_attribute)(RawDescriptor, Attribute, Type, int64_t most, int64_t* count, void* elements);
  Status (*execute)(Handle, RawDescriptor plan, RawDescriptor pack);
};

}  // namespace groupconv::cuda::cudnn
