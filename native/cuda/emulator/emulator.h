// Runs CUDA kernels on the host: every thread of a block is a fiber, blocks come one after another. Barriers
// and warp collectives are meeting points; whoever waits for one that cannot come about makes the launch
// fail. So index arithmetic, barriers and fragment layouts are tested where no GPU is.
//
// Shared memory starts poisoned. Threads run in the order of `order`: a result that depends on it has a race.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>

namespace emulator {

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
  Dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

// The running thread's place.
const Dim3& thread_index();
const Dim3& block_index();
const Dim3& block_extent();
Dim3 grid_extent();
void* dynamic_shared();
// Of all blocks that ever ran: what another one has left behind is of no use.
uint64_t block_number();
// An access of that many bytes, as one: throws where its address is no multiple of them.
void check_aligned(const void* address, size_t bytes);
// The same of dynamic shared memory, which must hold all of it.
void check_shared(const void* address, size_t bytes);

enum class Order { Forward, Backward };
extern Order order;

// Waits for all threads of the block that have not ended.
void block_barrier();

// What the lanes of a warp exchange: every lane in `mask` gives `bytes` (at most 64) and sees those of all.
// The result points at lane 0's; lane i's are 64 * i bytes on. It holds until the lane's next meeting.
constexpr size_t kLaneBytes = 64;
const unsigned char* meet(uint32_t mask, const void* mine, size_t bytes);
unsigned lane();
// Whether an atomic operation takes place.
bool atomic_works();
template <class T>
T from_lane(const unsigned char* met, unsigned lane) {
  T value;
  __builtin_memcpy(&value, met + kLaneBytes * lane, sizeof value);
  return value;
}

// Runs a kernel's threads; throws std::runtime_error when they cannot go on.
void run(const void* kernel, Dim3 grid, Dim3 block, size_t shared_bytes, const std::function<void()>& thread);

// On an emulated stream: at once, or kept while it is captured. Errors become the stream's.
void submit(void* stream, std::function<void()> work);
// Whether the current device would take the launch; cudaGetLastError tells why not.
bool accepts_launch(const void* kernel, Dim3 grid, Dim3 block, size_t shared_bytes);
// Launches are looked at and not run: for sizes that only a GPU computes.
extern bool only_checked;
template <class... Parameters>
void launch(void* stream, Dim3 grid, Dim3 block, size_t shared_bytes, void (*kernel)(Parameters...),
            Parameters... arguments) {
  const auto* const address = reinterpret_cast<const void*>(kernel);
  if (!accepts_launch(address, grid, block, shared_bytes) || only_checked) return;
  submit(stream, [=] { run(address, grid, block, shared_bytes, [&] { kernel(arguments...); }); });
}

// A new start after a failure, which a GPU has not got without a new process.
void forget_failure();

// Whether the runtime was asked for something that opens this device.
bool was_opened(int device);
void forget_opened();

float half_to_float(uint16_t half);
uint16_t float_to_half(float value);
uint16_t float_to_bfloat16(float value);

}  // namespace emulator
