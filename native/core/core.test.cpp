// The core without a device: shapes, size classes, solver registries.
#include <cstdlib>
#include <iterator>
#include <map>
#include <sstream>

#include "core/arena.h"
#include "core/check.h"
#include "core/dispatch.h"
#include "core/shape.h"

namespace groupconv {
namespace {

using test::check_throws;

void test_shape() {
  const Shape shape{2, 3, 4};
  std::ostringstream text;
  text << shape;
  CHECK(text.str() == "[2, 3, 4]");
  CHECK(shape.size() == 24 && shape.rank() == 3 && shape[1] == 3);
  CHECK(Shape{}.size() == 1);
  CHECK(shape == Shape{2, 3, 4} && !(shape == Shape{2, 3}));
  check_throws(ErrorCode::InvalidShape, "", [] { Shape{0}; });
  check_throws(ErrorCode::InvalidShape, "", [] { Shape{int64_t{1} << 30, int64_t{1} << 30}; });
  check_throws(ErrorCode::InvalidShape, "", [] { Shape{1, 1, 1, 1, 1, 1, 1}; });
}

void test_arena() {
  Arena arena(size_t{64} << 20);
  CHECK(Arena::rounded(1) == 64 && Arena::rounded(64) == 64 && Arena::rounded(65) == 128);
  for (size_t bytes = 1; bytes < (size_t{1} << 24); bytes = bytes * 9 / 8 + 1) {
    CHECK(Arena::rounded(bytes) >= bytes);
    CHECK(bytes < 1024 || Arena::rounded(bytes) <= bytes + bytes / 8 + 64);
  }
  void* first = arena.allocate(1000);
  CHECK(reinterpret_cast<uintptr_t>(first) % 64 == 0);
  arena.release(first, 1000);
  CHECK(arena.allocate(1001) == first);  // the same class: the block comes back
  CHECK(arena.used_bytes() == Arena::rounded(1000));
  CHECK(arena.allocate(size_t{65} << 20) == nullptr);  // beyond the limit
  arena.release(first, 1001);
  CHECK(arena.used_bytes() == 0 && arena.reserved_bytes() > 0);
  arena.trim();
  CHECK(arena.reserved_bytes() == 0);
  void* large = arena.allocate(size_t{4} << 20);
  CHECK(arena.peak_bytes() == size_t{4} << 20);
  arena.release(large, size_t{4} << 20);
  // Blocks that were released later than the stamp says stay, those of other classes too.
  void *const early = arena.allocate(1000), *const late = arena.allocate(1000),
              *const other = arena.allocate(2000);
  arena.release(early, 1000, 3);
  arena.release(late, 1000, 5);
  arena.release(other, 2000, 4);
  CHECK(arena.trim(3) == Arena::rounded(1000) + (size_t{4} << 20));
  CHECK(arena.allocate(1000) == late && arena.allocate(2000) == other);
  arena.release(other, 2000, 6);
  arena.release(late, 1000, 6);
  CHECK(arena.trim(5) == 0 && arena.trim() == Arena::rounded(1000) + Arena::rounded(2000));
}

// A source that counts, and refuses more than `most` bytes at a time.
struct CountingSource {
  size_t most = ~size_t{0}, held = 0;
  MemorySource source() {
    return {[this](size_t bytes) -> void* {
              if (bytes > most) return nullptr;
              held += bytes;
              return std::aligned_alloc(Regions::kLine, bytes);
            },
            [this](void* block, size_t bytes) {
              held -= bytes;
              std::free(block);
            }};
  }
};

void test_regions() {
  constexpr size_t kAny = ~size_t{0}, kMega = size_t{1} << 20, kRegion = 2 * kMega;
  CountingSource counting;
  Regions regions(counting.source());
  const auto at = [](void* block, size_t offset) {
    return static_cast<void*>(static_cast<char*>(block) + offset);
  };
  void* const a = regions.allocate(100 * 1024, kAny);
  void* const b = regions.allocate(200 * 1024, kAny);
  void* const c = regions.allocate(100 * 1024 - 1, kAny);  // whole lines
  CHECK(b == at(a, 100 * 1024) && c == at(b, 200 * 1024) && counting.held == kRegion);
  // The smallest range that fits; what is left of it; neighbours on both sides.
  regions.release(b, 200 * 1024, 1);
  CHECK(regions.allocate(64 * 1024, kAny) == b && regions.allocate(136 * 1024, kAny) == at(b, 64 * 1024));
  regions.release(b, 64 * 1024, 2);
  regions.release(a, 100 * 1024, 3);
  CHECK(regions.allocate(164 * 1024, kAny) == a);
  regions.release(a, 164 * 1024, 4);
  regions.release(c, 100 * 1024, 4);
  CHECK(regions.trim(kAny) == 0);
  regions.release(at(b, 64 * 1024), 136 * 1024, 3);
  CHECK(regions.trim(3) == 0 && counting.held == kRegion);  // released later, in part
  CHECK(regions.trim(4) == kRegion && counting.held == 0 && regions.bytes() == 0);
  // No more than is allowed, or than the source has.
  CHECK(!regions.allocate(3 * kMega, 3 * kMega - 1) && counting.held == 0);
  counting.most = kMega;
  CHECK(!regions.allocate(kMega + 1, kAny));
  void* const exact = regions.allocate(kMega, kAny);  // where a region of whole pages isn't to be had
  CHECK(exact && counting.held == kMega);
  counting.most = kAny;
  void* const large = regions.allocate(5 * kMega, kAny);
  CHECK(counting.held == 7 * kMega);  // whole pages
  regions.release(exact, kMega, 0);
  CHECK(regions.trim(0) == kMega);
  regions.release(large, 5 * kMega, 0);
  CHECK(regions.trim(0) == 6 * kMega && counting.held == 0);
}

// Random blocks: none overlap, and in the end every range is one again.
void test_regions_at_random() {
  CountingSource counting;
  Regions regions(counting.source());
  std::map<char*, size_t> blocks;
  uint32_t state = 1;
  const auto random = [&](uint32_t below) { return (state = state * 1664525 + 1013904223) / 65536 % below; };
  size_t used = 0, peak = 0;
  for (int i = 0; i < 20000; ++i) {
    if (blocks.size() < 40 && random(2)) {
      const size_t bytes = Regions::in_lines(1 + random(60000) * (random(4) ? 1 : 50));
      const auto block = static_cast<char*>(regions.allocate(bytes, ~size_t{0}));
      const auto next = blocks.upper_bound(block);
      CHECK(next == blocks.end() || block + bytes <= next->first);
      CHECK(next == blocks.begin() || std::prev(next)->first + std::prev(next)->second <= block);
      blocks.emplace(block, bytes);
      used += bytes, peak = std::max(peak, used);
    } else if (!blocks.empty()) {
      const auto block = std::next(blocks.begin(), random(static_cast<uint32_t>(blocks.size())));
      regions.release(block->first, block->second, 0);
      used -= block->second;
      blocks.erase(block);
    }
  }
  CHECK(regions.bytes() == counting.held && counting.held < 2 * peak);
  for (const auto& [block, bytes] : blocks) regions.release(block, bytes, 0);
  regions.trim(0);
  CHECK(counting.held == 0 && regions.bytes() == 0);
}

struct Problem {
  int size;
};
std::ostream& operator<<(std::ostream& out, const Problem& problem) { return out << problem.size; }
struct Buffers {
  void* workspace;
};

void run(const Problem&, const Buffers&, const ExecutionContext&) {}
constexpr Solver<Problem, Buffers> solvers[] = {
    {"small", [](const Problem& p) { return p.size < 10; }, run},
    {"reference", [](const Problem&) { return true; }, run},
};

void test_registry() {
  Registry<Problem, Buffers> registry("test");
  check_throws(ErrorCode::Unsupported, "", [&] { registry.list(DeviceKind::Cpu); });
  registry.add(DeviceKind::Cpu, []() -> const SolverList<Problem, Buffers>& {
    static const auto list = join<Problem, Buffers>({{solvers, 2}});
    return list;
  });
  CHECK(registry.choose(DeviceKind::Cpu, {5}).name == std::string("small"));
  CHECK(registry.choose(DeviceKind::Cpu, {50}).name == std::string("reference"));
  registry.force("reference");
  CHECK(registry.choose(DeviceKind::Cpu, {5}).name == std::string("reference"));
  registry.force("small");
  check_throws(ErrorCode::Unsupported, "", [&] { registry.choose(DeviceKind::Cpu, {50}); });
  check_throws(ErrorCode::InvalidArgument, "", [&] { registry.force("missing"); });
  registry.force("");
  CHECK(&AnyRegistry::find("test") == &registry);
  check_throws(ErrorCode::InvalidArgument, "", [] { AnyRegistry::find("missing"); });
  CHECK(registry.solver_names(DeviceKind::Cpu).size() == 2 &&
        registry.solver_names(DeviceKind::Cuda).empty());
}

// A device that runs everything at once.
class IdleStream final : public Stream {
 public:
  Device device() const override { return {DeviceKind::Cpu, 0}; }
  std::string place() const override { return "test"; }
  void queue(Task, size_t) override {}
  void notify(std::function<void(const Error*)>) override {}
  Ticket record() override { return 0; }
  void wait(Ticket) override {}
  void stop() override {}
  double busy_seconds() const override { return 0; }
  size_t reserved_bytes() const override { return 0; }
  bool computes_in(DType) const override { return true; }
  void receive(const Tensor&, Tensor&) override {}
  void drain() override { ++drained; }
  void* take(size_t) override { return nullptr; }
  void give(void*, size_t) noexcept override {}
  int activation_block(int64_t) const override { return 1; }
  void relayout(const Tensor&, Tensor&) override {}
  void upload(const void*, Tensor&) override {}
  void download(const Tensor&, void*) override {}
  void tile(std::vector<char>, void*, size_t) override {}
  int drained = 0;
};

int measured = 0;

void test_tuning() {
  Registry<Problem, Buffers> registry("tuned");
  IdleStream stream;
  registry.add(DeviceKind::Cpu, []() -> const SolverList<Problem, Buffers>& {
    static const auto list = join<Problem, Buffers>({{solvers, 2}});
    return list;
  });
  registry.tune_with(DeviceKind::Cpu, [](Stream&, const Problem& p) {
    ++measured;
    if (p.size == 3) fail(ErrorCode::OutOfMemory, "no memory to measure with");
    return std::string(p.size == 4 ? "" : p.size == 5 ? "reference" : "small");
  });
  const auto chosen = [&](int size) { return std::string(registry.choose(stream, {size}).name); };
  CHECK(chosen(5) == "small" && measured == 0);  // not asked to measure
  autotune_enabled = true;
  CHECK(chosen(5) == "reference" && chosen(5) == "reference" && measured == 1 && stream.drained == 1);
  CHECK(chosen(6) == "small" && measured == 2);
  CHECK(chosen(4) == "small" && chosen(4) == "small" && measured == 4);  // nothing could run: tried again
  CHECK(chosen(3) == "small" && chosen(3) == "small" && measured == 5);  // given up
  CHECK(chosen(50) == "reference");  // what was measured doesn't accept it: the list decides
  autotune_enabled = false;
  CHECK(chosen(5) == "reference");  // kept
  CHECK(chosen(7) == "small" && measured == 6);
  registry.force("small");
  CHECK(chosen(5) == "small");  // forced before measured
  registry.force("");
  const std::vector<TunedChoice> choices = registry.tuning.choices();
  CHECK(choices.size() == 3 && choices[0].place == "test" && choices[0].problem == std::vector<int32_t>{5});
  registry.tuning.clear();
  CHECK(registry.tuning.empty() && chosen(5) == "small");
  autotune_enabled = true;
  CHECK(chosen(3) == "small" && measured == 7);  // with the choices, what was given up is forgotten
  autotune_enabled = false;
  registry.tuning.put({"elsewhere", {5}, "reference"});
  CHECK(chosen(5) == "small");
  registry.tuning.put({"test", {5}, "reference"});
  CHECK(chosen(5) == "reference");
}

}  // namespace
}  // namespace groupconv

int main() {
  groupconv::test_shape();
  groupconv::test_arena();
  groupconv::test_regions();
  groupconv::test_regions_at_random();
  groupconv::test_registry();
  groupconv::test_tuning();
  return groupconv::test::report();
}
