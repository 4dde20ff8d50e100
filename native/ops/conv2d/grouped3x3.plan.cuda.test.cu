// How ResNeXt-50's grouped layers are dealt out on an H100, in numbers that need no GPU: a table, and the
// bounds that make these kernels limited by memory. Times are a model: traffic at the rate that copies reach,
// stretched by the uneven share of the busiest block; and what matrix units and shared memory need beside it.
#include <cstdio>

#include "core/check.h"
#include "ops/conv2d/grouped3x3.launch.cuda.h"

namespace groupconv {
namespace {

using namespace cuda::grouped3x3;
using T = cuda::BFloat16;

constexpr int kMultiprocessors = 132;
constexpr double kBandwidth = 3.0e12;  // bytes a second that a copy reaches
constexpr double kClock = 1.755e9;
constexpr double kStepsPerClock = 0.62 * 2048 / 2048;  // of 16 x 8 x 16, by a multiprocessor with mma.sync
constexpr double kSharedPerClock = 128;                // bytes, of a multiprocessor

struct Layer {
  int channels, size, stride, count;
};
// The first of each stage has stride 2; their sizes are of x.
constexpr Layer kLayers[] = {{128, 56, 1, 3}, {256, 56, 2, 1},  {256, 28, 1, 3}, {512, 28, 2, 1},
                             {512, 14, 1, 5}, {1024, 14, 2, 1}, {1024, 7, 1, 2}};

// Source rows that all shares of a slab read, and lines of the largest share.
struct Shares {
  int64_t rows = 0;
  int most = 0;
};
Shares shares_of(const Lines& lines, int blocks, int stride, int above) {
  Shares shares;
  for (int64_t block = 0; block < blocks; ++block) {
    const auto begin = static_cast<int>(lines.count * block / blocks);
    const auto end = static_cast<int>(lines.count * (block + 1) / blocks);
    shares.most = std::max(shares.most, end - begin);
    for (int next = begin; next < end;) {
      const int first = next % lines.rows, last = std::min(lines.rows - 1, first + end - next - 1);
      next += last - first + 1;
      shares.rows +=
          std::min(stride * last + 1, lines.source_h - 1) - std::max(stride * first - above, 0) + 1;
    }
  }
  return shares;
}

struct Sum {
  double floor = 0, time = 0;
};

// `steps` and `loads`: matrix products and fragments from shared memory, by all warps of a block for one
// line.
template <class Shape>
void plan(const Layer& layer, const Conv2dProblem& p, const char* pass, size_t shared, double stages_bytes,
          double steps, double loads, Sum& sum) {
  const Lines lines = lines_for<Shape>(p);
  const int slabs = ceil_div(p.c, kSlab<T>), blocks = blocks_per_slab(lines, slabs, kMultiprocessors);
  const bool spreads_rows = p.pass == Conv2dPass::GradInput && p.stride_h == 2;
  const Shares shares = shares_of(lines, blocks, Shape::kStride, spreads_rows ? 0 : 1);
  const double balance = double(lines.count) / blocks / shares.most * (double(blocks) * slabs) /
                         (kMultiprocessors * kBlocksPerMultiprocessor);

  const double source = double(p.n) * lines.source_h * lines.source_w * p.c * sizeof(T);
  const double target = double(p.n) * lines.target_h * lines.target_w * p.c * sizeof(T);
  // A strip reads one pixel more on either side that it shares with another.
  const double columns = 1 + 2.0 * (lines.strips - 1) / lines.source_w;
  const double rows = double(shares.rows) / lines.sets / lines.strips / lines.source_h;
  const double read = rows * columns;
  // What gradWeight's blocks write and the second kernel adds up.
  const double partials =
      p.pass == Conv2dPass::GradWeight
          ? 2.0 * blocks * Partials(p.c, static_cast<int>(p.channels_per_group())).of_block() * sizeof(float)
          : 0;
  const double memory = (source * read + target + partials) / kBandwidth;
  const double line_count = double(lines.count) * slabs / kMultiprocessors;
  const double matrix = line_count * steps / kStepsPerClock / kClock;
  const double staged = (source * read + (p.pass == Conv2dPass::GradWeight ? target : 0)) / kMultiprocessors;
  const double from_shared = (line_count * loads * 512 + staged) / kSharedPerClock / kClock;
  const double in_flight = kBlocksPerMultiprocessor * stages_bytes * (Shape::kStages - 1);
  const double time = std::max({memory, matrix, from_shared}) / balance;
  const double floor = (source + target) / kBandwidth;
  std::printf(
      "%5d %3d  %d  %2d  %-10s | %2d x %d  %4.1f %4d x %-2d %5.2f %5.3f %6.1f | %4.0f%% %4.0f%% | %7.1f "
      "%7.1f\n",
      p.c, p.h, p.stride_h, static_cast<int>(p.channels_per_group()), pass, lines.segments * kSegment,
      lines.images_abreast, shared / 1024.0, blocks, slabs, balance, read, in_flight / 1024,
      100 * matrix / floor, 100 * from_shared / floor, floor * 1e6, time * 1e6);
  CHECK_NOTE(in_flight >= 40 * 1024, "bytes in flight");
  CHECK_NOTE(kBlocksPerMultiprocessor * (shared + 1024) <= 164 * 1024, "shared memory of an A100");
  CHECK_NOTE(shared <= 99 * 1024, "shared memory of a block on sm_86, 89 and 120");
  CHECK_NOTE(read <= 1.1, "source read more than once");
  CHECK_NOTE(matrix < floor && from_shared < floor, "limited by memory");
  CHECK_NOTE(balance >= 0.9, "even shares");
  sum.floor += layer.count * floor, sum.time += layer.count * time;
}

template <class Shape>
void plan_activations(const Layer& layer, const Conv2dProblem& p, const char* pass, Sum& sum) {
  const Lines lines = lines_for<Shape>(p);
  const double tiles = Shape::kUnits * Shape::kSegments / 2.0;
  const double loads = tiles * Shape::kSteps * (Shape::kSpreads ? 6 : Shape::kStride == 1 ? 3 : 6);
  plan<Shape>(layer, p, pass, shared_bytes<Shape>(lines),
              double(lines.images_abreast) * std::min(lines.width, lines.source_w) * kSlabBytes,
              tiles * Shape::kSteps * 9 * Shape::kSlices, loads, sum);
}

template <class Shape>
void plan_weight(const Layer& layer, const Conv2dProblem& p, Sum& sum) {
  const Lines lines = lines_for<Shape>(p);
  const double chunks = Shape::kUnits * Shape::kSegments / 2.0;
  // At stride 2 a stage holds a row of dy every other time.
  const double stage = lines.images_abreast * kSlabBytes *
                       (std::min(lines.width, lines.source_w) +
                        double(std::min(lines.segments * kSegment, lines.target_w)) / Shape::kStride);
  plan<Shape>(layer, p, "gradWeight", grad_weight_shared_bytes<Shape>(lines), stage, chunks * 18,
              chunks * (Shape::kStride == 1 ? 4 : 7), sum);
}

void plan_all() {
  std::printf(
      "    C   H  s  C/g pass       | tile   KB   blocks balance read  KB in   | tensor shared | floor   "
      "model\n");
  std::printf(
      "                              |     shared              source  flight | of the floor  |      us      "
      "us\n");
  for (const Conv2dPass pass : {Conv2dPass::Forward, Conv2dPass::GradInput, Conv2dPass::GradWeight}) {
    Sum sum;
    for (const Layer& layer : kLayers) {
      Conv2dProblem p = conv2d_problem({256, layer.channels, layer.size, layer.size},
                                       {layer.channels, layer.channels / 32, 3, 3},
                                       {{layer.stride, layer.stride}, {1, 1}, {1, 1, 1, 1}, 32});
      p.pass = pass, p.dtype = DType::BFloat16;
      const char* const name = pass == Conv2dPass::Forward ? "forward" : "gradInput";
      if (pass != Conv2dPass::GradWeight)
        with_tile<T>(p, [&](auto shape) { plan_activations<decltype(shape)>(layer, p, name, sum); });
      else
        with_grad_weight_tile<T>(p, [&](auto shape) { plan_weight<decltype(shape)>(layer, p, sum); });
    }
    std::printf("16 layers: floor %.3f ms, model %.3f ms\n", sum.floor * 1e3, sum.time * 1e3);
  }
}

}  // namespace
}  // namespace groupconv

int main() {
  groupconv::plan_all();
  return groupconv::test::report();
}
