#include "cuda/emulator/emulator.h"

#include <ucontext.h>

#include <cstring>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuda/emulator/refusal.h"

namespace emulator {

Order order = Order::Forward;

namespace {

constexpr size_t kStackBytes = 256 * 1024;
constexpr unsigned kWarp = 32;

enum class State { Ready, AtBlockBarrier, AtMeeting };

// A stack on which threads run one after another, until one of them has to wait: then it belongs to that
// thread.
struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack = std::make_unique_for_overwrite<char[]>(kStackBytes);
  unsigned thread = 0;
  bool busy = false;  // a thread has begun here and has not ended
  State state = State::Ready;
};

// Lanes that meet: two sets of slots, so that nobody overwrites what others still read.
struct Warp {
  uint32_t mask = 0, arrived = 0;
  uint64_t meetings = 0;
  alignas(64) unsigned char slots[2][kWarp][kLaneBytes];
};

struct Machine {
  Dim3 grid, block, block_at, thread_at;
  const std::function<void()>* body = nullptr;
  std::vector<std::unique_ptr<Fiber>> fibers;
  Fiber* current = nullptr;
  ucontext_t scheduler;
  std::vector<Warp> warps;
  SharedMemory shared;
  unsigned threads = 0, next_thread = 0, ended = 0;
  std::string failure;
};

Machine machine;
std::mutex machine_mutex;

Dim3 place_of(unsigned thread) {
  const Dim3& block = machine.block;
  return {thread % block.x, thread / block.x % block.y, thread / (block.x * block.y)};
}

unsigned numbered(unsigned begun) { return order == Order::Forward ? begun : machine.threads - 1 - begun; }

// Runs threads that have not begun yet, until one waits or none is left.
void fiber_main() {
  for (;;) {
    Fiber& self = *machine.current;
    while (machine.next_thread < machine.threads && machine.failure.empty()) {
      self.thread = numbered(machine.next_thread++);
      self.busy = true;
      machine.thread_at = place_of(self.thread);
      try {
        (*machine.body)();
      } catch (const std::exception& error) {
        machine.failure = error.what();
      }
      self.busy = false;
      ++machine.ended;
    }
    swapcontext(&self.context, &machine.scheduler);
  }
}

void wait_as(State state) {
  Fiber& self = *machine.current;
  self.state = state;
  swapcontext(&self.context, &machine.scheduler);
  if (!machine.failure.empty()) throw std::runtime_error(machine.failure);
}

void resume(Fiber& fiber) {
  machine.current = &fiber;
  machine.thread_at = place_of(fiber.thread);
  swapcontext(&machine.scheduler, &fiber.context);
}

Fiber& idle_fiber() {
  for (const auto& fiber : machine.fibers)
    if (!fiber->busy) return *fiber;
  auto fiber = std::make_unique<Fiber>();
  getcontext(&fiber->context);
  fiber->context.uc_stack.ss_sp = fiber->stack.get();
  fiber->context.uc_stack.ss_size = kStackBytes;
  fiber->context.uc_link = nullptr;
  makecontext(&fiber->context, fiber_main, 0);
  machine.fibers.push_back(std::move(fiber));
  return *machine.fibers.back();
}

// Every thread that has not ended waits at the block's barrier: they may go on.
bool open_barrier() {
  unsigned waiting = 0;
  for (const auto& fiber : machine.fibers) waiting += fiber->busy && fiber->state == State::AtBlockBarrier;
  if (waiting == 0 || waiting + machine.ended < machine.threads) return false;
  for (const auto& fiber : machine.fibers)
    if (fiber->busy) fiber->state = State::Ready;
  return true;
}

void run_block() {
  machine.next_thread = machine.ended = 0;
  while (machine.ended < machine.threads) {
    bool moved = false;
    if (machine.next_thread < machine.threads && machine.failure.empty()) {
      resume(idle_fiber());
      moved = true;
    }
    // By index: a resumed thread never adds fibers, but the list may have grown above.
    for (size_t i = 0; i < machine.fibers.size(); ++i) {
      Fiber& fiber = *machine.fibers[order == Order::Forward ? i : machine.fibers.size() - 1 - i];
      if (!fiber.busy || (fiber.state != State::Ready && machine.failure.empty())) continue;
      resume(fiber);
      moved = true;
    }
    if (moved || machine.ended == machine.threads || open_barrier()) continue;
    if (!machine.failure.empty() && machine.ended == machine.next_thread) break;
    machine.failure = "threads wait at different barriers, or lanes of a collective are missing";
  }
}

}  // namespace

const Dim3& thread_index() { return machine.thread_at; }
const Dim3& block_index() { return machine.block_at; }
const Dim3& block_extent() { return machine.block; }
const Dim3& grid_extent() { return machine.grid; }
void* dynamic_shared() { return machine.shared.data(); }
void check_shared(const void* address, size_t bytes) {
  check_aligned(address, bytes);
  if (!machine.shared.holds(address, bytes))
    throw std::runtime_error("an access outside of the block's shared memory");
}
unsigned lane() { return machine.current->thread % kWarp; }

void block_barrier() { wait_as(State::AtBlockBarrier); }

const unsigned char* meet(uint32_t mask, const void* mine, size_t bytes) {
  Warp& warp = machine.warps[machine.current->thread / kWarp];
  const unsigned self = lane();
  if (bytes > kLaneBytes || !(mask >> self & 1))
    throw std::runtime_error("a lane calls a collective without it");
  if (warp.arrived == 0) warp.mask = mask;
  if (warp.mask != mask) throw std::runtime_error("lanes of one warp meet with different masks");
  const uint64_t meeting = warp.meetings;
  std::memcpy(warp.slots[meeting & 1][self], mine, bytes);
  warp.arrived |= 1u << self;
  if (warp.arrived == mask) {
    warp.arrived = 0;
    ++warp.meetings;
    for (const auto& fiber : machine.fibers)
      if (fiber->busy && fiber->state == State::AtMeeting &&
          fiber->thread / kWarp == machine.current->thread / kWarp)
        fiber->state = State::Ready;
  } else {
    wait_as(State::AtMeeting);
  }
  return warp.slots[meeting & 1][0];
}

void run(Dim3 grid, Dim3 block, size_t shared_bytes, const std::function<void()>& thread) {
  const std::lock_guard<std::mutex> lock(machine_mutex);
  machine.grid = grid, machine.block = block, machine.body = &thread;
  machine.threads = block.x * block.y * block.z;
  machine.failure.clear();
  machine.warps.assign((machine.threads + kWarp - 1) / kWarp, Warp{});
  for (unsigned z = 0; z < grid.z; ++z)
    for (unsigned y = 0; y < grid.y; ++y)
      for (unsigned x = 0; x < grid.x; ++x) {
        machine.block_at = {x, y, z};
        machine.shared.assign(shared_bytes, 0xcd);
        run_block();
        if (machine.failure.empty() && !machine.shared.intact())
          machine.failure = "written outside of the block's shared memory";
        if (!machine.failure.empty()) throw std::runtime_error(machine.failure);
      }
}

float half_to_float(uint16_t half) {
  const uint32_t sign = uint32_t{half & 0x8000u} << 16, exponent = half >> 10 & 31, fraction = half & 1023;
  float magnitude;
  if (exponent == 31) {
    const uint32_t bits = 0x7f800000u | fraction << 13;
    std::memcpy(&magnitude, &bits, 4);
  } else {
    magnitude = __builtin_ldexpf(static_cast<float>(exponent ? fraction + 1024 : fraction),
                                 static_cast<int>(exponent ? exponent : 1) - 25);
  }
  uint32_t bits;
  std::memcpy(&bits, &magnitude, 4);
  bits |= sign;
  std::memcpy(&magnitude, &bits, 4);
  return magnitude;
}

uint16_t float_to_half(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  const uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000u);
  bits &= 0x7fffffffu;
  if (bits > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);   // NaN
  if (bits >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // rounds beyond 65504
  if (bits < 0x38800000u) {                                               // subnormal: in steps of 2^-24
    float magnitude;
    std::memcpy(&magnitude, &bits, 4);
    return static_cast<uint16_t>(sign | static_cast<uint16_t>(__builtin_rintf(magnitude * 16777216.0f)));
  }
  const uint32_t rounded = bits + 0xfffu + (bits >> 13 & 1);
  return static_cast<uint16_t>(sign | (rounded - 0x38000000u) >> 13);
}

uint16_t float_to_bfloat16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>(bits >> 16 | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

}  // namespace emulator
