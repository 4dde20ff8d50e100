// One convolution for the tests of cuDNN's engines, on the CPU's reference and on the device.
#pragma once
#include <string>

#include "cuda/testing.h"
#include "ops/conv2d/conv2d.h"
#ifdef GROUPCONV_CUDNN_STANDIN
#include "cuda/standin.testing.h"
#endif

namespace groupconv::test {

// 32 channels in two groups, strided, dilated, padded unevenly.
struct EngineCase {
  Shape x{2, 32, 9, 7}, weight{16, 16, 3, 2};
  Conv2dGeometry geometry{{2, 1}, {1, 2}, {1, 0, 2, 1}, 2};
  Activation activation = Activation::Relu6;
  bool with_epilogue = true;
};

inline Values run(const Place& on, const EngineCase& c, const std::string& solver = "cudnn") {
  const Conv2dProblem p = conv2d_problem(c.x, c.weight, c.geometry);
  const Shape y{p.n, p.k, p.p, p.q};
  conv2d_registry().force(on.is_cuda() ? solver : "reference");
  const TensorPtr x = on.activation(c.x, 1), weight = on.parameter(c.weight, 2);
  const TensorPtr bias = on.parameter({p.k}, 3), residual = on.activation(y, 4);
  const Values values =
      download(*(c.with_epilogue ? conv2d(*x, *weight, bias.get(), nullptr, {residual.get(), false},
                                          c.activation, c.geometry)
                                 : conv2d(*x, *weight, nullptr, nullptr, {}, Activation::None, c.geometry)));
  conv2d_registry().force("");
  return values;
}

inline Place on_cuda(DType dtype) { return {cuda_stream(), dtype}; }
inline Place on_cpu(DType dtype) { return {cpu_stream(), dtype}; }

#ifdef GROUPCONV_CUDNN_STANDIN
// The engine that it gets, as the stand-in names it.
inline std::string engine_for(DType dtype, const EngineCase& c) {
  run(on_cuda(dtype), c);
  return standin().executed.back();
}
#endif

}  // namespace groupconv::test
