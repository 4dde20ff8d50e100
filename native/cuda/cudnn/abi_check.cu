// Compares abi.h with NVIDIA's headers, where they are found.
#include "cuda/cudnn/abi.h"

#if !defined(GROUPCONV_EMULATED) && __has_include(<cudnn_graph.h>)
#include <cudnn_graph.h>

#include <type_traits>

namespace groupconv::cuda::cudnn {
namespace {

#define GROUPCONV_SAME(prefix, name, nvidia, value) \
  static_assert(static_cast<int>(prefix##nvidia) == value, #prefix #nvidia);
#define X(...) GROUPCONV_SAME(CUDNN_DATA_, __VA_ARGS__)
GROUPCONV_CUDNN_DATA_TYPES(X)
#undef X
#define X(...) GROUPCONV_SAME(CUDNN_BACKEND_, __VA_ARGS__)
GROUPCONV_CUDNN_DESCRIPTORS(X)
#undef X
#define X(...) GROUPCONV_SAME(CUDNN_TYPE_, __VA_ARGS__)
GROUPCONV_CUDNN_TYPES(X)
#undef X
#define X(...) GROUPCONV_SAME(CUDNN_ATTR_, __VA_ARGS__)
GROUPCONV_CUDNN_ATTRIBUTES(X)
#undef X
#define X(...) GROUPCONV_SAME(CUDNN_POINTWISE_, __VA_ARGS__)
GROUPCONV_CUDNN_POINTWISE(X)
#undef X
#define X(...) GROUPCONV_SAME(CUDNN_HEUR_MODE_, __VA_ARGS__)
GROUPCONV_CUDNN_HEURISTICS(X)
#undef X
#define X(...) GROUPCONV_SAME(CUDNN_NUMERICAL_NOTE_, __VA_ARGS__)
GROUPCONV_CUDNN_NOTES(X)
#undef X
static_assert(CUDNN_CROSS_CORRELATION == kCrossCorrelation && CUDNN_PROPAGATE_NAN == kPropagateNan &&
              CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION == kCompilesAtRunTime &&
              CUDNN_KNOB_TYPE_SPLIT_K_SLC == kSplitSum);
static_assert(CUDNN_NUMERICAL_NOTE_TYPE_COUNT <= kMostNotes && CUDNN_BEHAVIOR_NOTE_TYPE_COUNT <= kMostNotes &&
              CUDNN_KNOB_TYPE_COUNTS <= kMostKnobs);
static_assert(CUDNN_STATUS_SUCCESS == kSuccess && CUDNN_STATUS_BAD_PARAM == kBadParameter &&
              CUDNN_STATUS_NOT_SUPPORTED == kNotSupported &&
              CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED == kHostAllocationFailed &&
              CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED == kDeviceAllocationFailed);

// Enumerations and ints are passed alike, and so are pointers, whatever they point to.
template <class T>
using Passed = std::conditional_t<std::is_pointer_v<T>, void*, std::conditional_t<std::is_enum_v<T>, int, T>>;
template <class Function>
struct Signature;
template <class Result, class... Parameters>
struct Signature<Result (*)(Parameters...)> {
  using type = Passed<Result> (*)(Passed<Parameters>...);
};
template <class Ours, class Theirs>
constexpr bool kSameCall =
    std::is_same_v<typename Signature<Ours>::type, typename Signature<std::decay_t<Theirs>>::type>;

static_assert(sizeof(cudnnStatus_t) == sizeof(Status) && sizeof(cudnnBackendAttributeName_t) == sizeof(int));
static_assert(kSameCall<decltype(Functions::get_version), decltype(cudnnGetVersion)>);
static_assert(kSameCall<decltype(Functions::get_error_string), decltype(cudnnGetErrorString)>);
static_assert(kSameCall<decltype(Functions::create), decltype(cudnnCreate)>);
static_assert(kSameCall<decltype(Functions::destroy), decltype(cudnnDestroy)>);
static_assert(kSameCall<decltype(Functions::set_stream), decltype(cudnnSetStream)>);
static_assert(kSameCall<decltype(Functions::create_descriptor), decltype(cudnnBackendCreateDescriptor)>);
static_assert(kSameCall<decltype(Functions::destroy_descriptor), decltype(cudnnBackendDestroyDescriptor)>);
static_assert(kSameCall<decltype(Functions::finalize), decltype(cudnnBackendFinalize)>);
static_assert(kSameCall<decltype(Functions::set_attribute), decltype(cudnnBackendSetAttribute)>);
static_assert(kSameCall<decltype(Functions::get_attribute), decltype(cudnnBackendGetAttribute)>);
static_assert(kSameCall<decltype(Functions::execute), decltype(cudnnBackendExecute)>);

}  // namespace
}  // namespace groupconv::cuda::cudnn
#endif
