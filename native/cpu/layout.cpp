#include "cpu/layout.h"

#include <algorithm>
#include <cstring>

#include "cpu/context.h"
#include "cpu/stream.h"

namespace groupconv {
namespace {

// One channel block of one image: [lanes, pixels] <-> [pixels, block].
template <class T>
void interleave(const T* plain, T* blocked, int64_t pixels, int lanes, int block) {
  for (int64_t pixel = 0; pixel < pixels; ++pixel) {
    T* out = blocked + pixel * block;
    for (int lane = 0; lane < lanes; ++lane) out[lane] = plain[lane * pixels + pixel];
    for (int lane = lanes; lane < block; ++lane) out[lane] = T{};
  }
}

template <class T>
void deinterleave(const T* blocked, T* plain, int64_t pixels, int lanes, int block) {
  for (int64_t pixel = 0; pixel < pixels; ++pixel) {
    const T* in = blocked + pixel * block;
    for (int lane = 0; lane < lanes; ++lane) plain[lane * pixels + pixel] = in[lane];
  }
}

template <class T>
void convert(const ExecutionContext& context, const Shape& shape, const T* from, int from_block, T* to,
             int to_block) {
  if (from_block == to_block) {
    std::memcpy(to, from, static_cast<size_t>(Tensor::physical_size(shape, to_block)) * sizeof(T));
    return;
  }
  require(from_block == 1 || to_block == 1, ErrorCode::Unsupported, "relayout: from block ", from_block,
          " to block ", to_block);
  const int block = std::max(from_block, to_block);
  const int64_t channels = shape[1], pixels = shape[2] * shape[3], blocks = (channels + block - 1) / block;
  parallel_for(context, shape[0] * blocks, [&](int64_t i) {
    const int64_t image = i / blocks, first = i % blocks * block;
    const int lanes = static_cast<int>(std::min<int64_t>(block, channels - first));
    const int64_t plain = (image * channels + first) * pixels, blocked = i * block * pixels;
    if (to_block > 1)
      interleave(from + plain, to + blocked, pixels, lanes, block);
    else
      deinterleave(from + blocked, to + plain, pixels, lanes, block);
  });
}

}  // namespace

void relayout(const ExecutionContext& context, const Shape& shape, size_t bytes, const void* from,
              int from_block, void* to, int to_block) {
  if (bytes == 4)
    convert(context, shape, static_cast<const uint32_t*>(from), from_block, static_cast<uint32_t*>(to),
            to_block);
  else
    convert(context, shape, static_cast<const uint16_t*>(from), from_block, static_cast<uint16_t*>(to),
            to_block);
}

void queue_relayout(CpuStream& stream, const Tensor& from, Tensor& to) {
  const int from_block = from.block(), to_block = to.block();
  const void* source = from.in_layout<void>(from_block);
  void* target = to.target_in_layout<void>(to_block);
  stream.submit([=, shape = from.shape(), bytes = size_of(from.dtype())](const ExecutionContext& context) {
    relayout(context, shape, bytes, source, from_block, target, to_block);
  });
}

}  // namespace groupconv
