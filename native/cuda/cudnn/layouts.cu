#include "cuda/cudnn/layouts.h"

#include "cuda/activate.h"
#include "cuda/element.h"

namespace groupconv::cuda::cudnn {
namespace {

template <class T>
__global__ void __launch_bounds__(kThreads)
    reorder(Filter f, const float* __restrict__ from, T* __restrict__ to) {
  GROUPCONV_GRID_STRIDE(i, f.size()) {
    const int64_t c = i % f.channels, tap = i / f.channels % f.taps, k = i / (f.channels * f.taps);
    to[i] = from_float<T>(from[(k * f.channels + c) * f.taps + tap]);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    restore(Filter f, const T* __restrict__ from, float* __restrict__ to, bool accumulate) {
  GROUPCONV_GRID_STRIDE(i, f.size()) {
    const int64_t tap = i % f.taps, c = i / f.taps % f.channels, k = i / (f.channels * f.taps);
    const float value = to_float(from[(k * f.taps + tap) * f.channels + c]);
    to[i] = accumulate ? to[i] + value : value;
  }
}

// Packs lie within a pixel: `channels` is a multiple of their width.
template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads) finish(Epilogue e) {
  const auto* x = static_cast<const T*>(e.x);
  const auto* residual = static_cast<const T*>(e.residual);
  GROUPCONV_GRID_STRIDE(i, e.size / kWidth) {
    auto pack = load_pack<kWidth>(x + i * kWidth);
    Pack<T, kWidth> added{};
    if (residual) added = load_pack<kWidth>(residual + i * kWidth);
    const int64_t channel = i * kWidth % e.channels;
#pragma unroll
    for (int lane = 0; lane < kWidth; ++lane) {
      float value = to_float(pack.element[lane]);
      if (e.bias) value += e.bias[channel + lane];
      if (residual) value += to_float(added.element[lane]);
      pack.element[lane] = from_float<T>(activate(e.activation, value));
    }
    store_pack(static_cast<T*>(e.y) + i * kWidth, pack);
  }
}

}  // namespace

void to_channels_last(const Filter& filter, const float* from, DType dtype, void* to,
                      const ExecutionContext& context) {
  with_element(dtype, [&](auto element) {
    using T = decltype(element);
    launch(context, grid_for(context, filter.size()), kThreads, 0, reorder<T>, filter, from,
           static_cast<T*>(to));
  });
}

void from_channels_last(const Filter& filter, DType dtype, const void* from, float* to, bool accumulate,
                        const ExecutionContext& context) {
  with_element(dtype, [&](auto element) {
    using T = decltype(element);
    launch(context, grid_for(context, filter.size()), kThreads, 0, restore<T>, filter,
           static_cast<const T*>(from), to, accumulate);
  });
}

void run(const Epilogue& epilogue, const ExecutionContext& context) {
  with_packs(epilogue.dtype, epilogue.channels, [&](auto element, auto width) {
    launch(context, grid_for(context, epilogue.size / width()), kThreads, 0,
           finish<decltype(element), width()>, epilogue);
  });
}

}  // namespace groupconv::cuda::cudnn
