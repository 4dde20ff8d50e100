// One CUDA device's in-order queue: the library's own part of a stream.
#pragma once
#include "cuda/backend.h"
#include "cuda/launch.h"

namespace groupconv::cuda {

std::unique_ptr<Engine> open_engine(int device);
DeviceProperties properties_of(int device);

// Queues the change of layout; see Engine::relayout.
void relayout(const ExecutionContext& context, const Shape& shape, size_t element_bytes, const void* from,
              int from_block, void* to, int to_block);

}  // namespace groupconv::cuda
