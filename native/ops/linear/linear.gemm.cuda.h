// A tiled matrix product through shared memory with float32 sums: C [m, n] = A [m, l] B [l, n], each operand
// stored along l or across it, in any element type.
//
// A block of 256 threads makes a tile of 64 x 64, each thread 4 x 4 of it, l in steps of 16. The next step's
// elements are on their way in registers while this one's are multiplied. Where the tiles are too few for a
// device, l is cut into parts, whose sums a second pass adds in order.
#pragma once
#include "cuda/element.h"
#include "cuda/launch.h"
#include "cuda/reduce.h"

namespace groupconv::cuda {

constexpr int kGemmTile = 64, kGemmStep = 16, kGemmThreads = 256;
constexpr int kGemmPad = 4;  // floats between rows in shared memory: keeps float4 aligned, spreads the banks

// Along: element (i, l) lies at i * extent of l + l; across: at l * extent of i + i. i counts A's rows or B's
// columns.
enum class Stored { Along, Across };

struct GemmShape {
  int64_t m, n, l;
  int64_t part;  // of l, for one blockIdx.y; a multiple of kGemmStep
  __host__ __device__ __forceinline__ int64_t tiles_across() const { return (n + kGemmTile - 1) / kGemmTile; }
  int64_t tiles() const { return tiles_across() * ((m + kGemmTile - 1) / kGemmTile); }
};

// What one thread carries of an operand's next tile: kGemmTile x kGemmStep elements in memory's order, so
// that neighbouring threads read neighbours.
template <class T, Stored kStored>
class GemmOperand {
 public:
  __device__ __forceinline__ GemmOperand(const T* __restrict__ from, int64_t extent, int64_t first, int64_t l)
      : from_(from), extent_(extent), first_(first), l_(l) {}

  // Zero beyond the matrix and from `end` of l on.
  __device__ __forceinline__ void fetch(int64_t step, int64_t end) {
#pragma unroll
    for (int k = 0; k < kPerThread; ++k) {
      const int64_t i = first_ + row(k), at = step + column(k);
      carried_[k] = i < extent_ && at < end
                        ? to_float(from_[kStored == Stored::Along ? i * l_ + at : at * extent_ + i])
                        : 0;
    }
  }
  __device__ __forceinline__ void put(float (*tile)[kGemmTile + kGemmPad]) const {
#pragma unroll
    for (int k = 0; k < kPerThread; ++k) tile[column(k)][row(k)] = carried_[k];
  }

 private:
  static constexpr int kPerThread = kGemmTile * kGemmStep / kGemmThreads;
  __device__ __forceinline__ static int number(int k) {
    return k * kGemmThreads + static_cast<int>(threadIdx.x);
  }
  // Within the tile: of i, and of l.
  __device__ __forceinline__ static int row(int k) {
    return kStored == Stored::Along ? number(k) / kGemmStep : number(k) % kGemmTile;
  }
  __device__ __forceinline__ static int column(int k) {
    return kStored == Stored::Along ? number(k) % kGemmStep : number(k) / kGemmTile;
  }

  const T* __restrict__ from_;
  const int64_t extent_, first_, l_;
  float carried_[kPerThread];
};

// store(i, j, part, sum) for every element of C and every part of l. Grid: tiles, row by row; parts.
template <class TA, Stored kA, class TB, Stored kB, class Store, class Barrier = BlockBarrier>
__global__ void __launch_bounds__(kGemmThreads, 2)
    gemm(GemmShape shape, const TA* __restrict__ a, const TB* __restrict__ b, Store store) {
  alignas(16) __shared__ float as[kGemmStep][kGemmTile + kGemmPad], bs[kGemmStep][kGemmTile + kGemmPad];
  const int64_t across = shape.tiles_across();
  const int64_t m0 = blockIdx.x / across * kGemmTile, n0 = blockIdx.x % across * kGemmTile;
  const int64_t first = int64_t{blockIdx.y} * shape.part, end = std::min(first + shape.part, shape.l);
  const int row = static_cast<int>(threadIdx.x) / 16 * 4, column = static_cast<int>(threadIdx.x) % 16 * 4;
  const Barrier barrier;
  GemmOperand<TA, kA> left(a, shape.m, m0, shape.l);
  GemmOperand<TB, kB> right(b, shape.n, n0, shape.l);
  float sums[4][4] = {};
  left.fetch(first, end);
  right.fetch(first, end);
  for (int64_t step = first; step < end; step += kGemmStep) {
    left.put(as);
    right.put(bs);
    barrier();
    left.fetch(step + kGemmStep, end);
    right.fetch(step + kGemmStep, end);
#pragma unroll
    for (int l = 0; l < kGemmStep; ++l) {
      const auto x = load_pack<4>(&as[l][row]), y = load_pack<4>(&bs[l][column]);
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) sums[i][j] += x.element[i] * y.element[j];
    }
    barrier();  // before the next step's tiles come
  }
#pragma unroll
  for (int i = 0; i < 4; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j)
      if (m0 + row + i < shape.m && n0 + column + j < shape.n)
        store(m0 + row + i, n0 + column + j, static_cast<int64_t>(blockIdx.y), sums[i][j]);
}

inline dim3 gemm_grid(const GemmShape& shape) {
  return dim3(static_cast<unsigned>(shape.tiles()),
              static_cast<unsigned>((shape.l + shape.part - 1) / shape.part));
}

}  // namespace groupconv::cuda
