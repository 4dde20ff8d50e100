// Many tensors as one piece of work: lists of chunks (core/chunks.h) travel as kernel arguments, some 4 KB at
// a time, so that nothing is copied to the device and a captured launch keeps its list.
#pragma once
#include "core/chunks.h"
#include "cuda/element.h"
#include "cuda/launch.h"

namespace groupconv::cuda {

constexpr int kBatchBytes = 3584;  // of a launch's arguments, which may have 4 KB

template <class Chunk>
struct ChunkBatch {
  static constexpr int kMost = kBatchBytes / sizeof(Chunk);
  Chunk chunk[kMost];
};

// body(batch, number of its chunks, number of chunks before it)
template <class Chunk, class Body>
void for_batches(const Chunk* chunks, int64_t count, const Body& body) {
  constexpr int64_t kMost = ChunkBatch<Chunk>::kMost;
  for (int64_t first = 0; first < count; first += kMost) {
    const int64_t in_batch = std::min(count - first, kMost);
    ChunkBatch<Chunk> batch{};
    std::copy_n(chunks + first, in_batch, batch.chunk);
    body(batch, static_cast<unsigned>(in_batch), first);
  }
}

// Several blocks share a chunk: with blockIdx.x its number and blockIdx.y the block's in it.
constexpr int kBlocksPerChunk = 8;
inline dim3 chunk_grid(unsigned chunks) { return dim3(chunks, kBlocksPerChunk); }

// body(i, width) with width = 4 floats as one access, or 1 at a chunk's end, for what is this thread's.
struct Four {
  static constexpr int kWidth = 4;
};
struct One {
  static constexpr int kWidth = 1;
};
template <class Body>
__device__ __forceinline__ void for_chunk_elements(int64_t size, const Body& body) {
  const int64_t self = int64_t{blockIdx.y} * blockDim.x + threadIdx.x;
  const int64_t threads = int64_t{gridDim.y} * blockDim.x, packs = size / 4;
  for (int64_t i = self; i < packs; i += threads) body(i * 4, Four());
  if (self < size - packs * 4) body(packs * 4 + self, One());
}

}  // namespace groupconv::cuda
