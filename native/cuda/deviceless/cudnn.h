// NVIDIA's own cuDNN on a machine without a GPU, behind the functions that the library opens: descriptors,
// graphs, engines and plans are cuDNN's, for a GPU that is only described. A handle is no more than its name
// here; nothing can be executed. What the library builds for a device, it builds here unchanged.
#pragma once

// Describes the GPU for which everything is planned from now on; false where cuDNN does not take it. Opens
// the cuDNN that GROUPCONV_DEVICELESS_CUDNN names, 9.8 or newer.
extern "C" bool groupconv_describe_gpu(const char* json);
constexpr const char* kDescribeGpu = "groupconv_describe_gpu";
