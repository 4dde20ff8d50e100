// Conversion between N C H W and N C/B H W B, where data enters and leaves the kernels.
#pragma once
#include "core/tensor.h"

namespace groupconv {

class CpuStream;

// Queues the copy; both tensors have the same shape and dtype and have memory.
void queue_relayout(CpuStream& stream, const Tensor& from, Tensor& to);

// Runs it now: elements of `bytes` bytes each, source and target blocks as given, pad lanes set to zero.
void relayout(const ExecutionContext& context, const Shape& shape, size_t bytes, const void* from,
              int from_block, void* to, int to_block);

}  // namespace groupconv
