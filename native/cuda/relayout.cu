// N C H W to N H W C and back: per image a transposition of [C, pixels], through tiles in shared memory so
// that both sides are read and written in whole lines. Of two to four channels, as images have, a thread
// takes 16 bytes of pixels of each: tiles would be nearly empty.
#include "cuda/element.h"
#include "cuda/engine.h"
#include "cuda/launch.h"

namespace groupconv::cuda {
namespace {

constexpr int kTile = 32, kRows = 8;

__host__ __device__ __forceinline__ int64_t tiles_of(int64_t extent) { return (extent + kTile - 1) / kTile; }

// to[n][j][i] = from[n][i][j] for i < rows, j < columns. All tiles of an image along x, which is the long
// side of a grid.
template <class T>
__global__ void __launch_bounds__(kTile* kRows)
    transpose(const T* __restrict__ from, T* __restrict__ to, int64_t rows, int64_t columns) {
  __shared__ T tile[kTile][kTile + 1];
  const int64_t image = int64_t{blockIdx.y} * rows * columns, across = tiles_of(columns);
  const int64_t row = blockIdx.x / across * kTile, column = blockIdx.x % across * kTile;
  for (int i = threadIdx.y; i < kTile; i += kRows)
    if (row + i < rows && column + threadIdx.x < columns)
      tile[i][threadIdx.x] = from[image + (row + i) * columns + column + threadIdx.x];
  __syncthreads();
  for (int j = threadIdx.y; j < kTile; j += kRows)
    if (column + j < columns && row + threadIdx.x < rows)
      to[image + (column + j) * rows + row + threadIdx.x] = tile[threadIdx.x][j];
}

// from [n][C][pixels], to [n][pixels][C], or the other way round; kPixels of a thread.
template <class T, int C, int kPixels, bool kToChannelsLast>
__global__ void __launch_bounds__(kThreads)
    interleave(const T* __restrict__ from, T* __restrict__ to, int64_t pixels) {
  const int64_t first = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * kPixels;
  if (first >= pixels) return;
  const int64_t image = int64_t{blockIdx.y} * C * pixels;
  Pack<T, kPixels> planes[C], mixed[C];
  const auto plane_at = [&](int c) { return image + c * pixels + first; };
  const auto mixed_at = [&](int i) { return image + first * C + i * kPixels; };
#pragma unroll
  for (int c = 0; c < C; ++c)
    if constexpr (kToChannelsLast)
      planes[c] = load_pack<kPixels>(from + plane_at(c));
    else
      mixed[c] = load_pack<kPixels>(from + mixed_at(c));
#pragma unroll
  for (int i = 0; i < kPixels; ++i)
#pragma unroll
    for (int c = 0; c < C; ++c) {
      const int at = i * C + c;
      if constexpr (kToChannelsLast)
        mixed[at / kPixels].element[at % kPixels] = planes[c].element[i];
      else
        planes[c].element[i] = mixed[at / kPixels].element[at % kPixels];
    }
#pragma unroll
  for (int c = 0; c < C; ++c)
    if constexpr (kToChannelsLast)
      store_pack(to + mixed_at(c), mixed[c]);
    else
      store_pack(to + plane_at(c), planes[c]);
}

// body(first image, their number): the images in grids of as many as one may have along y.
template <class Body>
void for_images(int64_t images, const Body& body) {
  constexpr int64_t kMostImages = 65535;
  for (int64_t first = 0; first < images; first += kMostImages)
    body(first, static_cast<unsigned>(std::min(images - first, kMostImages)));
}

template <class T>
void queue(const ExecutionContext& context, int64_t images, int64_t rows, int64_t columns, const T* from,
           T* to) {
  for_images(images, [&](int64_t first, unsigned count) {
    const int64_t offset = first * rows * columns;
    launch(context, dim3(static_cast<unsigned>(tiles_of(rows) * tiles_of(columns)), count),
           dim3(kTile, kRows), 0, transpose<T>, from + offset, to + offset, rows, columns);
  });
}

template <class T, int C, bool kToChannelsLast>
void queue_few(const ExecutionContext& context, int64_t images, int64_t pixels, const T* from, T* to) {
  const auto run = [&](auto width) {
    constexpr int kPixels = decltype(width)::value;
    for_images(images, [&](int64_t first, unsigned count) {
      const int64_t offset = first * C * pixels;
      const auto blocks = static_cast<unsigned>((pixels / kPixels + kThreads - 1) / kThreads);
      launch(context, dim3(blocks, count), kThreads, 0, interleave<T, C, kPixels, kToChannelsLast>,
             from + offset, to + offset, pixels);
    });
  };
  if (pixels % kPackWidth<T> == 0)
    run(std::integral_constant<int, kPackWidth<T>>{});
  else
    run(std::integral_constant<int, 1>{});
}

template <class T>
void change(const ExecutionContext& context, int64_t images, int64_t channels, int64_t pixels,
            bool to_channels_last, const void* source, void* target) {
  const T* const from = static_cast<const T*>(source);
  T* const to = static_cast<T*>(target);
  const auto few = [&](auto count) {
    constexpr int C = decltype(count)::value;
    if (to_channels_last)
      queue_few<T, C, true>(context, images, pixels, from, to);
    else
      queue_few<T, C, false>(context, images, pixels, from, to);
  };
  if (channels == 2) return few(std::integral_constant<int, 2>{});
  if (channels == 3) return few(std::integral_constant<int, 3>{});
  if (channels == 4) return few(std::integral_constant<int, 4>{});
  if (to_channels_last)
    queue<T>(context, images, channels, pixels, from, to);
  else
    queue<T>(context, images, pixels, channels, from, to);
}

}  // namespace

void relayout(const ExecutionContext& context, const Shape& shape, size_t element_bytes, const void* from,
              int from_block, void* to, int to_block) {
  if (from_block == to_block) {
    check(cudaMemcpyAsync(to, from, static_cast<size_t>(shape.size()) * element_bytes,
                          cudaMemcpyDeviceToDevice, cuda_context(context).stream),
          "copy");
    return;
  }
  const auto run = element_bytes == 2 ? change<uint16_t> : change<uint32_t>;
  run(context, shape[0], shape[1], shape[2] * shape[3], from_block == 1, from, to);
}

}  // namespace groupconv::cuda
