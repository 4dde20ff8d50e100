// Baseline code only: numbers are the same on every instruction set. Products and sums are separate
// statements, so that no compiler fuses them.
#include <algorithm>
#include <cmath>

#include "cpu/context.h"
#include "cpu/offer.h"
#include "ops/random/random.h"

namespace groupconv {

PhiloxBlock philox(PhiloxBlock counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t left = uint64_t{0xD2511F53} * counter[0], right = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(right >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(right),
               static_cast<uint32_t>(left >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(left)};
    key = {key[0] + 0x9E3779B9, key[1] + 0xBB67AE85};
  }
  return counter;
}

namespace {

constexpr int64_t kChunk = 4096;  // elements of one piece of work, in logical order

uint64_t words(uint32_t low, uint32_t high) { return low | uint64_t{high} << 32; }

struct Position {
  explicit Position(const RandomPosition& at)
      : seed(words(at.seed[0], at.seed[1])), offset(words(at.offset[0], at.offset[1])) {}
  uint64_t seed, offset;
};

// The words of a run of positions, block by block.
class Words {
 public:
  explicit Words(uint64_t seed) : key_{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)} {}
  const PhiloxBlock& block(uint64_t position) {
    const uint64_t wanted = position / 4;
    if (!known_ || wanted != words(counter_[0], counter_[1])) {
      counter_ = {static_cast<uint32_t>(wanted), static_cast<uint32_t>(wanted >> 32), 0, 0};
      block_ = philox(counter_, key_);
      known_ = true;
    }
    return block_;
  }

 private:
  std::array<uint32_t, 2> key_;
  PhiloxBlock counter_{}, block_{};
  bool known_ = false;
};

float unit(uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24f; }

float uniform(const RandomProblem& p, const PhiloxBlock& block, int word) {
  const double scaled = (p.b - p.a) * unit(block[word]);
  const float value = static_cast<float>(p.a + scaled);
  // Rounding to float32 may reach the upper bound, which is excluded.
  return value < p.b || p.a == p.b ? value : std::nextafter(static_cast<float>(p.b), static_cast<float>(p.a));
}

float normal(const RandomProblem& p, const PhiloxBlock& block, int word) {
  constexpr double kTurn = 6.283185307179586;
  const int pair = word & 2;
  const double u = (block[pair] + 1.0) * 0x1p-32;  // (0, 1]
  const double radius = std::sqrt(-2 * std::log(u)), angle = block[pair + 1] * 0x1p-32 * kTurn;
  const double scaled = p.b * (radius * (word & 1 ? std::sin(angle) : std::cos(angle)));
  return static_cast<float>(p.a + scaled);
}

template <class Value>
void generate(const RandomProblem& p, const RandomBuffers& b, const ExecutionContext& context,
              const Value& value) {
  const Position at(*b.position);
  parallel_for(context, (p.pixels + kChunk - 1) / kChunk, [&](int64_t chunk) {
    Words source(at.seed);
    for (int64_t i = chunk * kChunk; i < std::min(p.pixels, (chunk + 1) * kChunk); ++i) {
      const uint64_t position = at.offset + static_cast<uint64_t>(i);
      b.y[i] = value(p, source.block(position), static_cast<int>(position % 4));
    }
  });
}

void dropout(const RandomProblem& p, const RandomBuffers& b, const ExecutionContext& context) {
  const float threshold = static_cast<float>(p.a), scale = static_cast<float>(p.b);
  const int64_t lanes = (p.c + p.block - 1) / p.block * p.block, chunks = (p.pixels + kChunk - 1) / kChunk;
  const bool plain = p.block == 1;
  const Position at(*b.position);
  parallel_for(context, p.n * lanes * chunks, [&](int64_t part) {
    const int64_t plane = part / chunks, n = plane / lanes, c = plane % lanes, first = part % chunks * kChunk;
    const int64_t start =
        plain ? plane * p.pixels : (n * lanes + c / p.block * p.block) * p.pixels + c % p.block;
    Words source(at.seed);
    for (int64_t pixel = first; pixel < std::min(p.pixels, first + kChunk); ++pixel) {
      const int64_t i = start + pixel * p.block;
      const uint64_t position = at.offset + static_cast<uint64_t>((n * p.c + c) * p.pixels + pixel);
      // A dropped NaN or infinity is gone, as with a mask; pad lanes are zero already and stay so.
      b.y[i] = c < p.c && unit(source.block(position)[position % 4]) >= threshold ? b.x[i] * scale : 0;
    }
  });
}

void run(const RandomProblem& p, const RandomBuffers& b, const ExecutionContext& context) {
  switch (p.kind) {
    case RandomKind::Uniform:
      return generate(p, b, context, uniform);
    case RandomKind::Normal:
      return generate(p, b, context, normal);
    case RandomKind::Dropout:
      return dropout(p, b, context);
  }
}

constexpr RandomSolver solvers[] = {{"philox", [](const RandomProblem&) { return true; }, run}};

const bool offered = offer<random_registry, solvers>();

}  // namespace
}  // namespace groupconv
