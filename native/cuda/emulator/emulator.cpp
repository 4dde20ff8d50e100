#include "cuda/emulator/emulator.h"

#include <array>
#include <bit>
#include <cstring>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cuda/emulator/context.h"
#include "cuda/emulator/flaws.h"
#include "cuda/emulator/refusal.h"

namespace emulator {

Order order = Order::Forward;

namespace {

struct Place {
  Dim3 thread, block, block_extent, grid_extent;
};
Place place;

constexpr unsigned kWarp = 32;
constexpr unsigned kMostThreads = 1024;  // of a block: launches of more are refused

// Runs threads one after another, until one of them has to wait: then it belongs to that thread.
struct Fiber {
  explicit Fiber(void (*main)()) : context(main) {}
  Context context;
  unsigned thread = 0;
  Dim3 place;
};

// Fibers, by number.
class Fibers {
 public:
  void add(unsigned fiber) { words_[fiber / 64] |= uint64_t{1} << fiber % 64; }
  void remove(unsigned fiber) { words_[fiber / 64] &= ~(uint64_t{1} << fiber % 64); }
  void take(Fibers& others) {
    for (size_t i = 0; i < words_.size(); ++i) words_[i] |= std::exchange(others.words_[i], 0);
  }
  unsigned count() const {
    int sum = 0;
    for (const uint64_t word : words_) sum += std::popcount(word);
    return static_cast<unsigned>(sum);
  }
  // The first from `from` on; none: kMostThreads.
  unsigned next(unsigned from) const {
    if (from >= kMostThreads) return kMostThreads;
    uint64_t word = words_[from / 64] & ~uint64_t{0} << from % 64;
    for (size_t i = from / 64;; word = words_[i]) {
      if (word) return static_cast<unsigned>(i * 64) + static_cast<unsigned>(std::countr_zero(word));
      if (++i == words_.size()) return kMostThreads;
    }
  }

 private:
  std::array<uint64_t, kMostThreads / 64> words_{};
};

// Lanes that meet: two sets of slots, so that nobody overwrites what others still read.
struct Warp {
  uint32_t mask = 0, arrived = 0;
  uint64_t meetings = 0;
  Fibers waiting;
  alignas(64) unsigned char slots[2][kWarp][kLaneBytes];
};

struct Machine {
  const std::function<void()>* body = nullptr;
  std::vector<std::unique_ptr<Fiber>> fibers;  // the first `used` have begun in this block
  Fibers ready, at_barrier;
  Context scheduler;
  std::vector<Warp> warps;
  SharedMemory shared;
  unsigned threads = 0, next_thread = 0, ended = 0, used = 0, current = 0;
  uint64_t blocks = 0;
  bool without_first = false;  // a flaw
  std::string failure;
  Fiber& running() const { return *fibers[current]; }
};

Machine machine;
std::mutex machine_mutex;

Dim3 place_of(unsigned thread) {
  const Dim3& block = place.block_extent;
  return {thread % block.x, thread / block.x % block.y, thread / (block.x * block.y)};
}

unsigned numbered(unsigned begun) { return order == Order::Forward ? begun : machine.threads - 1 - begun; }

// Goes on in a fiber, from another one or from the scheduler.
void resume(unsigned fiber, Context& from) {
  machine.ready.remove(fiber);
  machine.current = fiber;
  place.thread = machine.running().place;
  from.switch_to(machine.running().context);
}

// Lets the fibers behind this one go on, those that can, and then the scheduler.
void leave() {
  Context& from = machine.running().context;
  const unsigned next = machine.ready.next(machine.current + 1);
  if (next < kMostThreads)
    resume(next, from);
  else
    from.switch_to(machine.scheduler);
}

// Runs threads that have not begun yet, until one waits or none is left.
void fiber_main() {
  for (;;) {
    Fiber& self = machine.running();
    while (machine.next_thread < machine.threads && machine.failure.empty()) {
      self.thread = numbered(machine.next_thread++);
      place.thread = self.place = place_of(self.thread);
      try {
        if (self.thread > 0 || !machine.without_first) (*machine.body)();
      } catch (const std::exception& error) {
        machine.failure = error.what();
      }
      ++machine.ended;
    }
    leave();
  }
}

void wait_among(Fibers& waiting) {
  waiting.add(machine.current);
  leave();
  if (!machine.failure.empty()) throw std::runtime_error(machine.failure);
}

// Every thread that has not ended waits at the block's barrier: they may go on.
bool open_barrier() {
  const unsigned waiting = machine.at_barrier.count();
  if (waiting == 0 || waiting + machine.ended < machine.threads) return false;
  machine.ready.take(machine.at_barrier);
  return true;
}

// Round after round, in the order in which threads began: one fiber more, then all that may go on.
void run_block() {
  machine.next_thread = machine.ended = machine.used = 0;
  ++machine.blocks;
  while (machine.ended < machine.threads) {
    if (machine.next_thread < machine.threads && machine.failure.empty()) {
      // While threads are left to begin, all fibers of this block belong to threads that wait.
      if (machine.used == machine.fibers.size())
        machine.fibers.push_back(std::make_unique<Fiber>(fiber_main));
      machine.ready.add(machine.used++);
    } else if (machine.ready.count() == 0 && !open_barrier()) {
      if (machine.failure.empty())
        machine.failure = "threads wait at different barriers, or lanes of a collective are missing";
      // Who waits is told, and ends; who has not begun never does.
      machine.ready.take(machine.at_barrier);
      for (Warp& warp : machine.warps) machine.ready.take(warp.waiting);
      if (machine.ready.count() == 0) return;
    }
    resume(machine.ready.next(0), machine.scheduler);
  }
}

}  // namespace

const Dim3& thread_index() { return place.thread; }
const Dim3& block_index() { return place.block; }
const Dim3& block_extent() { return place.block_extent; }
Dim3 grid_extent() {
  const Dim3& grid = place.grid_extent;
  return is_wrong(Wrong::Stride, __builtin_return_address(0)) ? Dim3(grid.x + 1, grid.y + 1, grid.z + 1)
                                                              : grid;
}
void* dynamic_shared() { return machine.shared.data(); }
uint64_t block_number() { return machine.blocks; }
void check_shared(const void* address, size_t bytes) {
  check_aligned(address, bytes);
  if (!machine.shared.holds(address, bytes))
    throw std::runtime_error("an access outside of the block's shared memory");
}
unsigned lane() { return machine.running().thread % kWarp; }

bool atomic_works() { return !is_wrong(Wrong::Atomic, __builtin_return_address(0)); }

void block_barrier() {
  if (!is_wrong(Wrong::Barrier, __builtin_return_address(0))) wait_among(machine.at_barrier);
}

namespace {
// Whoever asks reads it at once: nobody else runs until then.
const unsigned char* alone(const void* mine, size_t bytes) {
  alignas(64) static unsigned char slots[kWarp][kLaneBytes];
  for (auto& slot : slots) std::memcpy(slot, mine, bytes);
  return slots[0];
}
}  // namespace

const unsigned char* meet(uint32_t mask, const void* mine, size_t bytes) {
  Warp& warp = machine.warps[machine.running().thread / kWarp];
  const unsigned self = lane();
  if (bytes > kLaneBytes || !(mask >> self & 1))
    throw std::runtime_error("a lane calls a collective without it");
  if (is_wrong(Wrong::Exchange, __builtin_return_address(0))) return alone(mine, bytes);
  if (warp.arrived == 0) warp.mask = mask;
  if (warp.mask != mask) throw std::runtime_error("lanes of one warp meet with different masks");
  const uint64_t meeting = warp.meetings;
  std::memcpy(warp.slots[meeting & 1][self], mine, bytes);
  warp.arrived |= 1u << self;
  if (warp.arrived == mask) {
    warp.arrived = 0;
    ++warp.meetings;
    machine.ready.take(warp.waiting);
  } else {
    wait_among(warp.waiting);
  }
  return warp.slots[meeting & 1][0];
}

void run(const void* kernel, Dim3 grid, Dim3 block, size_t shared_bytes,
         const std::function<void()>& thread) {
  const std::lock_guard<std::mutex> lock(machine_mutex);
  if (is_wrong(Wrong::Launch, kernel)) return;
  place.grid_extent = grid, place.block_extent = block, machine.body = &thread;
  machine.threads = block.x * block.y * block.z;
  machine.failure.clear();
  machine.warps.assign((machine.threads + kWarp - 1) / kWarp, Warp{});
  machine.without_first = machine.threads > 1 && is_wrong(Wrong::Thread, kernel);
  const bool several = grid.x * uint64_t{grid.y} * grid.z > 1;
  const bool without_last = several && is_wrong(Wrong::Block, kernel);
  for (unsigned z = 0; z < grid.z; ++z)
    for (unsigned y = 0; y < grid.y; ++y)
      for (unsigned x = 0; x < grid.x; ++x) {
        if (without_last && z + 1 == grid.z && y + 1 == grid.y && x + 1 == grid.x) break;
        place.block = {x, y, z};
        machine.shared.assign(shared_bytes, 0xcd);
        run_block();
        if (machine.failure.empty() && !machine.shared.intact())
          machine.failure = "written outside of the block's shared memory";
        if (!machine.failure.empty()) throw std::runtime_error(machine.failure);
      }
}

float half_to_float(uint16_t half) {
  // As if its exponent had float32's bias; subnormal numbers come right with it.
  uint32_t bits = uint32_t{half & 0x7fffu} << 13;
  float magnitude;
  std::memcpy(&magnitude, &bits, 4);
  magnitude *= 0x1p112f;
  std::memcpy(&bits, &magnitude, 4);
  if ((half & 0x7c00u) == 0x7c00u) bits |= 0x7f800000u;  // infinity, NaN
  bits |= uint32_t{half & 0x8000u} << 16;
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
