// An activation N H W C as rows (the pixels of all images) of channels. A block of threads owns a tile of
// channels, V of them per thread as one access, and one part of the rows; its threads stand in lines, each of
// which takes every lines-th row of the part. So a thread keeps its channels' numbers in registers, and
// neighbouring threads touch neighbouring memory.
//
// The cut into parts depends on the shape alone: sums have the same bits on every device.
#pragma once
#include "cuda/element.h"
#include "cuda/launch.h"
#include "cuda/sum_lines.h"
#include "ops/batchNorm/batchNorm.h"

namespace groupconv::cuda {

struct ChannelRows {
  int64_t rows, channels, rows_per_part;
};

// A launch over them: block (vectors, lines), grid (tiles, parts).
struct Cut {
  ChannelRows of;
  unsigned vectors, lines, tiles, parts;
  dim3 grid() const { return dim3(tiles, parts); }
  dim3 block() const { return dim3(vectors, lines); }
};

// Blocks that fill any device a few times over, of threads with at least 8 rows (what a thread loads first is
// worth it) and at most 64 (float32 sums stay short, the last wave of blocks is a small part of all).
inline Cut cut(const BatchNormProblem& p, int vector_width) {
  constexpr int64_t kWidest = 32, kBlocks = 1024, kLeastRows = 8, kMostRows = 64, kMostParts = 65535;
  const auto ceil_div = [](int64_t a, int64_t b) { return (a + b - 1) / b; };
  const int64_t rows = p.n * p.pixels, vectors = ceil_div(p.c, vector_width);
  const int64_t tiles = ceil_div(vectors, kWidest), width = ceil_div(vectors, tiles),
                lines = kThreads / width;
  const int64_t fewest = ceil_div(rows, lines * kMostRows), most = ceil_div(rows, lines * kLeastRows);
  const int64_t wanted = std::clamp(ceil_div(kBlocks, tiles), fewest, std::max(fewest, most));
  const int64_t per_part = std::max<int64_t>(1, ceil_div(rows, std::min(wanted, kMostParts)));
  const auto narrow = [](int64_t value) { return static_cast<unsigned>(value); };
  return {{rows, p.c, per_part},
          narrow(width),
          narrow(lines),
          narrow(tiles),
          narrow(std::max<int64_t>(1, ceil_div(rows, per_part)))};
}

// The same where only its size matters: cut for packs.
inline Cut cut(const BatchNormProblem& p) {
  const int width = 16 / static_cast<int>(size_of(p.dtype));
  return cut(p, p.c % width == 0 ? width : 1);
}

// This thread's first channel, or none.
template <int V>
__device__ __forceinline__ int64_t own_channel() {
  return (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * V;
}

// Calls body(U, row) for this thread's rows of a part: U rows that lie blockDim.y apart, `Together` at a time
// while there are so many, so that their loads are in flight together.
template <int Together, class Body>
__device__ __forceinline__ void for_rows(const ChannelRows& of, unsigned part, const Body& body) {
  const int64_t first = part * of.rows_per_part, step = blockDim.y;
  const int64_t last = first + of.rows_per_part < of.rows ? first + of.rows_per_part : of.rows;
  int64_t row = first + threadIdx.y;
  for (; row + (Together - 1) * step < last; row += Together * step)
    body(std::integral_constant<int, Together>{}, row);
  for (; row < last; row += step) body(std::integral_constant<int, 1>{}, row);
}

// The packs of U rows that lie blockDim.y apart.
template <int U, int V, class T>
struct Rows {
  Pack<T, V> pack[U];
  __device__ __forceinline__ float at(int row, int k) const { return to_float(pack[row].element[k]); }
  __device__ __forceinline__ void load(const T* from, int64_t channels) {
#pragma unroll
    for (int u = 0; u < U; ++u) pack[u] = load_pack<V>(from + u * (channels * blockDim.y));
  }
  __device__ __forceinline__ void store(T* to, int64_t channels) const {
#pragma unroll
    for (int u = 0; u < U; ++u) store_pack(to + u * (channels * blockDim.y), pack[u]);
  }
};

// V numbers of a row [C] of float32.
template <int V>
__device__ __forceinline__ void load_channels(const float* from, float (&to)[V]) {
  constexpr int kWidth = V % 4 == 0 ? 4 : 1;
#pragma unroll
  for (int k = 0; k < V; k += kWidth) {
    const auto pack = load_pack<kWidth>(from + k);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) to[k + i] = pack.element[i];
  }
}

// What y was made with: (x - mean) * scale + shift has the same bits wherever it is made.
__device__ __forceinline__ float normalised(float d, float scale, float shift) {
  return fmaf(d, scale, shift);
}

}  // namespace groupconv::cuda
