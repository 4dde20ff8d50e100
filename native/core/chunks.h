// Many tensors as one piece of work: each is cut into fixed parts, so that threads share them evenly and
// results don't depend on the number of threads.
#pragma once
#include <algorithm>
#include <cstdint>

namespace groupconv {

constexpr int64_t kChunkElements = 16384;  // 64 KiB of float32

// body(offset, size) for every part of a tensor of `size` elements, in order.
template <class Body>
void for_chunks(int64_t size, const Body& body) {
  for (int64_t at = 0; at < size; at += kChunkElements) body(at, std::min(kChunkElements, size - at));
}

}  // namespace groupconv
