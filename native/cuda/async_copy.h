// Copies from global to shared memory that go on while the thread computes: 16 bytes each, in groups that
// land in the order of their commits (cp.async, from sm_80 on).
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

#ifdef GROUPCONV_EMULATED
#include <cstring>
#include <deque>
#include <vector>
#endif

namespace groupconv::cuda {

#ifdef GROUPCONV_EMULATED

// A copy may land at any time between its issue and the wait that awaits it. The two orders of threads stand
// for the extremes: Forward lands as late as can be, Backward at once.
namespace emulated {

struct Copy {
  void* to;
  const void* from;  // null: zeros
};
struct ThreadCopies {
  uint64_t block = 0;
  std::vector<Copy> open;
  std::deque<std::vector<Copy>> committed;
};

inline ThreadCopies& thread_copies() {
  static std::vector<ThreadCopies> threads(1024);
  ThreadCopies& copies = threads[threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)];
  // A block that failed may have left some.
  if (copies.block != emulator::block_number()) copies = {emulator::block_number(), {}, {}};
  return copies;
}
inline void land(const Copy& copy) {
  if (copy.from)
    std::memcpy(copy.to, copy.from, 16);
  else
    std::memset(copy.to, 0, 16);
}

}  // namespace emulated

inline void copy_async(void* shared, const void* global, bool inside) {
  emulator::check_shared(shared, 16);
  emulator::check_aligned(global, 16);
  const emulated::Copy copy{shared, inside ? global : nullptr};
  if (emulator::order == emulator::Order::Backward)
    emulated::land(copy);
  else
    emulated::thread_copies().open.push_back(copy);
}
inline void commit_copies() {
  auto& copies = emulated::thread_copies();
  copies.committed.push_back(std::move(copies.open));
  copies.open.clear();
}
template <int kLater>
void wait_copies() {
  auto& groups = emulated::thread_copies().committed;
  for (; groups.size() > kLater; groups.pop_front())
    for (const auto& copy : groups.front()) emulated::land(copy);
}

#else

// 16 bytes, zeros where `inside` is false; `global` must be a mapped address all the same. Both 16-byte
// aligned.
__device__ __forceinline__ void copy_async(void* shared, const void* global, bool inside) {
  const auto to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  const int bytes = inside ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(bytes) : "memory");
}
// The thread's copies since the last commit become a group.
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Until all groups of this thread but the `kLater` latest have landed. Other threads see them after a
// barrier.
template <int kLater>
__device__ __forceinline__ void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kLater) : "memory");
}

#endif

}  // namespace groupconv::cuda
