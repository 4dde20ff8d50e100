// Depthwise gradWeight: threads walk through windows of dy with the taps' sums in registers, blocks add
// theirs up, a second kernel adds up the blocks: always in the same order.
//
// Bytes, for 16-bit 3x3 at stride 1: 2 of x and 2 of dy per pixel and channel, read once from memory; the
// partial sums are 36 bytes per channel and block of at least some hundred pixels.
#include "cuda/sum_lines.h"
#include "ops/conv2d/depthwise.window.cuda.h"

namespace groupconv::cuda {
namespace {

using namespace depthwise;

constexpr int kRows = 1;  // of a window: a second one would need more registers than two blocks have

// x [images, h, w, channels] and dy [images, p, q, channels] in windows, in parts that blocks take.
struct Windows {
  int h, w, p, q, channels, pad_top, pad_left;
  int row_strips, column_strips, count, per_part;
};
struct Cut {
  Windows of;
  unsigned vectors, lines, slices, parts;
};

// 4 channels of a thread where all taps' sums fit its registers.
constexpr int vector_width(int kernel) { return kernel == 3 ? 4 : 2; }

// By the shape alone: sums have the same bits on every device.
Cut cut(const Conv2dProblem& p) {
  constexpr int kMostVectors = 32, kBlocks = 1024, kMostWindows = 32, kMostParts = 65535;
  const int vectors = p.c / vector_width(p.r), wide = balanced(vectors, kMostVectors),
            lines = kThreads / wide;
  const int slices = ceil_div(vectors, wide);
  Windows of{p.h, p.w, p.p, p.q, p.c, p.pad_top, p.pad_left, ceil_div(p.p, kRows), ceil_div(p.q, kColumns),
             0,   0};
  of.count = p.n * of.row_strips * of.column_strips;
  const int fewest = ceil_div(of.count, lines * kMostWindows), most = ceil_div(of.count, lines);
  const int parts = std::min(std::clamp(ceil_div(kBlocks, slices), fewest, most), kMostParts);
  of.per_part = ceil_div(of.count, parts);
  const auto narrow = [](int value) { return static_cast<unsigned>(value); };
  return {of, narrow(wide), narrow(lines), narrow(slices), narrow(ceil_div(of.count, of.per_part))};
}

// partials: [parts, taps, channels].
template <class T, int K, int S>
__global__ void __launch_bounds__(kThreads)
    add_products(Windows of, const T* __restrict__ x, const T* __restrict__ dy,
                 float* __restrict__ partials) {
  using Along = Window<K, S, false>;
  constexpr int V = vector_width(K);
  constexpr int kInputRows = Along::inputs(kRows), kInputColumns = Along::inputs(kColumns);
  const int channel = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x) * V;
  const bool takes_part = channel < of.channels;
  float sums[K][K][V] = {};
  if (takes_part) {
    const int first = static_cast<int>(blockIdx.y) * of.per_part;
    const int last = std::min(first + of.per_part, of.count);
    for (int window = first + static_cast<int>(threadIdx.y); window < last; window += blockDim.y) {
      const int q = window % of.column_strips * kColumns, above = window / of.column_strips;
      const int p = above % of.row_strips * kRows, image = above / of.row_strips;
      const T* dys = dy + int64_t{image} * of.p * of.q * of.channels + channel;
      const T* xs = x + int64_t{image} * of.h * of.w * of.channels + channel;
      Pack<T, V> gradient[kRows][kColumns];
#pragma unroll
      for (int a = 0; a < kRows; ++a)
#pragma unroll
        for (int b = 0; b < kColumns; ++b)
          gradient[a][b] = load_pixel<V>(dys, p + a, q + b, of.p, of.q, of.channels);
      const int h = p * S - of.pad_top, w = q * S - of.pad_left;
#pragma unroll
      for (int i = 0; i < kInputRows; ++i)
#pragma unroll
        for (int j = 0; j < kInputColumns; ++j) {
          const Pack<T, V> value = load_pixel<V>(xs, h + i, w + j, of.h, of.w, of.channels);
#pragma unroll
          for (int a = 0; a < kRows; ++a)
#pragma unroll
            for (int b = 0; b < kColumns; ++b) {
              const int r = Along::tap(a, i), s = Along::tap(b, j);
              if (r < 0 || r >= K || s < 0 || s >= K) continue;
#pragma unroll
              for (int k = 0; k < V; ++k)
                sums[r][s][k] =
                    fmaf(to_float(value.element[k]), to_float(gradient[a][b].element[k]), sums[r][s][k]);
            }
        }
    }
  }
  float* target = partials + int64_t{blockIdx.y} * (K * K) * of.channels + channel;
#pragma unroll
  for (int r = 0; r < K; ++r) {
    sum_lines(sums[r]);
    if (!takes_part || threadIdx.y > 0) continue;
#pragma unroll
    for (int s = 0; s < K; ++s)
#pragma unroll
      for (int k = 0; k < V; ++k) target[(r * K + s) * of.channels + k] = sums[r][s][k];
  }
}

// A block takes some channels of one tap.
__global__ void __launch_bounds__(kFinishChannels* kFinishLanes)
    add_parts(int channels, int taps, int parts, bool accumulate, const float* __restrict__ partials,
              float* __restrict__ dweight) {
  const int c = static_cast<int>(blockIdx.x * kFinishChannels + threadIdx.x),
            tap = static_cast<int>(blockIdx.y);
  double sums[1] = {};
  if (c < channels)
    for (int part = threadIdx.y; part < parts; part += kFinishLanes)
      sums[0] += partials[(int64_t{part} * taps + tap) * channels + c];
  sum_lanes(sums);
  if (c >= channels || threadIdx.y > 0) return;
  float& target = dweight[int64_t{c} * taps + tap];
  target = static_cast<float>(accumulate ? target + sums[0] : sums[0]);
}

void grad_weight(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  const Cut windows = cut(p);
  auto* partials = static_cast<float*>(b.workspace);
  with_kernel(p, [&](auto element, auto kernel, auto stride) {
    using T = decltype(element);
    launch(context, dim3(windows.slices, windows.parts), dim3(windows.vectors, windows.lines), 0,
           add_products<T, decltype(kernel)::value, decltype(stride)::value>, windows.of, as<T>(b.x),
           as<T>(b.dy), partials);
  });
  const int taps = p.r * p.s;
  launch(context, dim3(finish_grid(p.c).x, static_cast<unsigned>(taps)), finish_block(), 0, add_parts, p.c,
         taps, windows.parts, p.accumulate != 0, partials, b.dweight);
}
size_t workspace_bytes(const Conv2dProblem& p) {
  return sizeof(float) * cut(p).parts * static_cast<size_t>(p.r * p.s) * static_cast<size_t>(p.c);
}

constexpr Conv2dSolver solvers[] = {
    {"depthwise", [](const Conv2dProblem& p) { return p.pass == Conv2dPass::GradWeight && is_depthwise(p); },
     grad_weight, workspace_bytes},
};

}  // namespace

extern const Conv2dTable conv2d_depthwise_grad_weight = {solvers, 1};

}  // namespace groupconv::cuda
