// N C H W to N H W C and back: per image a transposition of [C, pixels], through tiles in shared memory so
// that both sides are read and written in whole lines.
#include "cuda/engine.h"

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

template <class T>
void queue(const ExecutionContext& context, int64_t images, int64_t rows, int64_t columns, const void* from,
           void* to) {
  constexpr int64_t kMostImages = 65535;  // of a grid
  for (int64_t first = 0; first < images; first += kMostImages) {
    const int64_t offset = first * rows * columns;
    const dim3 grid(static_cast<unsigned>(tiles_of(rows) * tiles_of(columns)),
                    static_cast<unsigned>(std::min(images - first, kMostImages)));
    launch(context, grid, dim3(kTile, kRows), 0, transpose<T>, static_cast<const T*>(from) + offset,
           static_cast<T*>(to) + offset, rows, columns);
  }
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
  const int64_t channels = shape[1], pixels = shape[2] * shape[3];
  const bool to_channels_last = from_block == 1;
  const int64_t rows = to_channels_last ? channels : pixels, columns = to_channels_last ? pixels : channels;
  const auto run = element_bytes == 2 ? queue<uint16_t> : queue<uint32_t>;
  run(context, shape[0], rows, columns, from, to);
}

}  // namespace groupconv::cuda
