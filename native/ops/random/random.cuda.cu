// The CPU's numbers: bit for bit for uniform and dropout; normal to what another library's logarithm, sine
// and cosine change in the last bit of a float64.
#include "cuda/element.h"
#include "cuda/launch.h"
#include "cuda/offer.h"
#include "ops/random/random.h"

namespace groupconv::cuda {
namespace {

constexpr int kRun = 4;  // elements of one thread: most of them share a Philox block

struct PhiloxWords {
  uint32_t word[4];
};

__device__ __forceinline__ PhiloxWords philox_at(uint64_t counter, uint64_t seed) {
  PhiloxWords c{{static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32), 0, 0}};
  uint32_t key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const uint64_t left = uint64_t{0xD2511F53} * c.word[0], right = uint64_t{0xCD9E8D57} * c.word[2];
    c = {{static_cast<uint32_t>(right >> 32) ^ c.word[1] ^ key0, static_cast<uint32_t>(right),
          static_cast<uint32_t>(left >> 32) ^ c.word[3] ^ key1, static_cast<uint32_t>(left)}};
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  return c;
}

// The words of neighbouring positions, a block at a time.
class Words {
 public:
  __device__ __forceinline__ explicit Words(uint64_t seed) : seed_(seed) {}
  __device__ __forceinline__ const PhiloxWords& block(uint64_t position) {
    if (!known_ || counter_ != position / 4) {
      counter_ = position / 4;
      words_ = philox_at(counter_, seed_);
      known_ = true;
    }
    return words_;
  }
  __device__ __forceinline__ uint32_t at(uint64_t position) {
    const PhiloxWords& words = block(position);
    const uint32_t low = position & 1 ? words.word[1] : words.word[0];
    const uint32_t high = position & 1 ? words.word[3] : words.word[2];
    return position & 2 ? high : low;
  }

 private:
  const uint64_t seed_;
  uint64_t counter_ = 0;
  PhiloxWords words_{};
  bool known_ = false;
};

__device__ __forceinline__ float unit(uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24f; }

// Where the call begins.
struct Start {
  uint64_t seed, offset;
};
__device__ __forceinline__ Start start_of(const RandomPosition& position) {
  return {position.seed[0] | uint64_t{position.seed[1]} << 32,
          position.offset[0] | uint64_t{position.offset[1]} << 32};
}

// Products and sums apart, as on the CPU: no fused multiply-add.
__device__ __forceinline__ float uniform(const RandomProblem& p, Words& source, uint64_t position) {
  const double scaled = __dmul_rn(p.b - p.a, double{unit(source.at(position))});
  const float value = static_cast<float>(__dadd_rn(p.a, scaled));
  // Rounding to float32 may reach the upper bound, which is excluded.
  return value < p.b || p.a == p.b ? value : nextafterf(static_cast<float>(p.b), static_cast<float>(p.a));
}

__device__ __forceinline__ float normal(const RandomProblem& p, Words& source, uint64_t position) {
  constexpr double kTurn = 6.283185307179586;
  const PhiloxWords& words = source.block(position);
  const double first = position & 2 ? words.word[2] : words.word[0];
  const double second = position & 2 ? words.word[3] : words.word[1];
  const double u = (first + 1.0) * 0x1p-32;  // (0, 1]
  const double radius = sqrt(-2 * log(u)), angle = __dmul_rn(second * 0x1p-32, kTurn);
  const double wave = position & 1 ? sin(angle) : cos(angle);
  return static_cast<float>(__dadd_rn(p.a, __dmul_rn(p.b, __dmul_rn(radius, wave))));
}

__global__ void __launch_bounds__(kThreads, 4)
    generate(RandomProblem p, const RandomPosition* __restrict__ begin, float* __restrict__ y) {
  const Start start = start_of(*begin);
  GROUPCONV_GRID_STRIDE(run, (p.pixels + kRun - 1) / kRun) {
    Words source(start.seed);
    const int64_t end = std::min((run + 1) * kRun, p.pixels);
    for (int64_t i = run * kRun; i < end; ++i) {
      const uint64_t position = start.offset + static_cast<uint64_t>(i);
      y[i] = p.kind == RandomKind::Uniform ? uniform(p, source, position) : normal(p, source, position);
    }
  }
}

// y [n, pixels, c], or [pixels] where n = c = 1: a run is kRun pixels of one channel, whose neighbours in
// memory are other threads'.
template <class T>
__global__ void __launch_bounds__(kThreads, 4)
    dropout(RandomProblem p, const RandomPosition* __restrict__ begin, const T* __restrict__ x,
            T* __restrict__ y) {
  const Start start = start_of(*begin);
  const float threshold = static_cast<float>(p.a), scale = static_cast<float>(p.b);
  const int64_t runs = (p.pixels + kRun - 1) / kRun;
  GROUPCONV_GRID_STRIDE(i, p.n * runs * p.c) {
    const int64_t c = i % p.c, run = i / p.c % runs, n = i / p.c / runs;
    Words source(start.seed);
    const int64_t end = std::min((run + 1) * kRun, p.pixels);
    for (int64_t pixel = run * kRun; pixel < end; ++pixel) {
      const uint64_t position = start.offset + static_cast<uint64_t>((n * p.c + c) * p.pixels + pixel);
      const int64_t at = (n * p.pixels + pixel) * p.c + c;
      // A dropped NaN or infinity is gone, as with a mask.
      y[at] = from_float<T>(unit(source.at(position)) >= threshold ? to_float(x[at]) * scale : 0);
    }
  }
}

void run(const RandomProblem& p, const RandomBuffers& b, const ExecutionContext& context) {
  const int64_t runs = p.n * p.c * ((p.pixels + kRun - 1) / kRun);
  if (p.kind != RandomKind::Dropout)
    return launch(context, grid_for(context, runs), kThreads, 0, generate, p, b.position, b.y);
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    launch(context, grid_for(context, runs), kThreads, 0, dropout<T>, p, b.position, as<T>(b.x), as<T>(b.y));
  });
}

constexpr RandomSolver solvers[] = {{"philox", [](const RandomProblem&) { return true; }, run}};
const bool offered = offer<RandomProblem, RandomBuffers>("random", {{solvers, 1}});

}  // namespace
}  // namespace groupconv::cuda
