// What a GPU refuses and a host would let pass: launches beyond the limits of any supported architecture,
// accesses that are not aligned, and dynamic shared memory outside of what the launch asked for.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "cuda/emulator/emulator.h"

namespace emulator {

// Why no GPU would launch this, or not with what is allowed for the kernel on this device; empty where it
// would.
std::string refusal_of(const void* kernel, int device, Dim3 grid, Dim3 block, size_t shared_bytes);
// Dynamic shared memory that a kernel may have on a device. Set: whether any GPU has so much.
size_t allowed_shared(const void* kernel, int device);
bool allow_shared(const void* kernel, int device, size_t bytes);

// A block's dynamic shared memory, poisoned, between guards, aligned as shared_memory() says.
class SharedMemory {
 public:
  void assign(size_t bytes, unsigned char poison);
  unsigned char* data() const { return bytes_.get() + kGuard; }
  // Nothing was written beside it.
  bool intact() const;
  // Whether these bytes are all inside.
  bool holds(const void* address, size_t bytes) const;

 private:
  static constexpr size_t kGuard = 1024;
  static constexpr unsigned char kPattern = 0x5a;
  struct Free {
    void operator()(unsigned char* bytes) const;
  };
  std::unique_ptr<unsigned char[], Free> bytes_;
  size_t size_ = 0, room_ = 0;
};

}  // namespace emulator
