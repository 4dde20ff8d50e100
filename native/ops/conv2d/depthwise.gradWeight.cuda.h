// Depthwise gradWeight: threads walk down strips of dy with the taps' sums and the rows of x that meet dy's
// row in registers, blocks add theirs up, a second kernel adds up the blocks: always in the same order.
//
// Bytes, for 16-bit 3x3 at stride 1: 2 of x and 2 of dy per pixel and channel, read once from memory; a step
// of 4 pixels loads 6 of x and 4 of dy. The partial sums are 36 bytes per channel and block of at least some
// hundred pixels.
#pragma once
#include "cuda/sum_lines.h"
#include "ops/conv2d/depthwise.window.cuda.h"

namespace groupconv::cuda::depthwise {

// The taps' sums and K rows of x fit a thread's registers.
template <class T, int K>
constexpr int kSumVector = std::max(1, (K == 3 ? 8 : 4) / static_cast<int>(sizeof(T)));
template <int K, int S>
constexpr int kSumColumns = (K == 3 ? 4 : 2) / S;
constexpr int kSumBlocks = 2;  // per multiprocessor

// x [images, h, w, channels] and dy [images, p, q, channels] in walks down a strip of dy, `steps` rows each;
// blocks take equal parts of the walks: a number of them for each of its lines.
struct Walks {
  int h, w, p, q, channels, pad_top, pad_left;
  int strips, per_image, steps, count, per_part;
};
struct Cut {
  Walks of;
  unsigned vectors, lines, slices, parts;
};

// By the shape alone: sums have the same bits on every device. A float32 sum has at most 256 products.
inline Cut cut(const Conv2dProblem& p, int vector_width, int columns) {
  constexpr int kMostVectors = 32, kWantedBlocks = 1024, kLeastBlocks = 512, kMostSteps = 16, kMostWalks = 4,
                kMostParts = 65535;
  const int vectors = p.c / vector_width, wide = balanced(vectors, kMostVectors), lines = kThreads / wide;
  const int slices = ceil_div(vectors, wide);
  Walks of{p.h, p.w, p.p, p.q, p.c, p.pad_top, p.pad_left, ceil_div(p.q, columns), 0, 0, 0, 0};
  const auto blocks = [&] { return ceil_div(of.count, lines) * slices; };
  for (int most = kMostSteps; most >= 2; most /= 2) {
    of.steps = balanced(p.p, most);
    of.per_image = ceil_div(p.p, of.steps) * of.strips;
    of.count = p.n * of.per_image;
    if (blocks() >= kLeastBlocks) break;
  }
  of.per_part =
      std::max(lines * std::clamp(blocks() / kWantedBlocks, 1, kMostWalks), ceil_div(of.count, kMostParts));
  const auto narrow = [](int value) { return static_cast<unsigned>(value); };
  return {of, narrow(wide), narrow(lines), narrow(slices), narrow(ceil_div(of.count, of.per_part))};
}
// body(T, kernel size, stride, cut)
template <class Body>
void with_cut(const Conv2dProblem& p, const Body& body) {
  with_kernel(p, [&](auto element, auto kernel, auto stride) {
    constexpr int V = kSumVector<decltype(element), decltype(kernel)::value>;
    body(element, kernel, stride, cut(p, V, kSumColumns<decltype(kernel)::value, decltype(stride)::value>));
  });
}

// partials: [parts, taps, channels].
template <class T, int K, int S, Flaw kFlaw>
__global__ void __launch_bounds__(kThreads, kSumBlocks)
    add_products(Walks of, const T* __restrict__ x, const T* __restrict__ dy, float* __restrict__ partials) {
  using Along = Window<K, S, false>;
  constexpr int V = kSumVector<T, K>, Columns = kSumColumns<K, S>, kInputColumns = Along::inputs(Columns);
  const int channel = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x) * V;
  const bool takes_part = channel < of.channels;
  float sums[K][K][V] = {};
  if (takes_part) {
    const int first = static_cast<int>(blockIdx.y) * of.per_part;
    const int last = std::min(first + of.per_part, of.count);
#pragma unroll 1
    for (int walk = first + static_cast<int>(threadIdx.y); walk < last; walk += blockDim.y) {
      const int image = walk / of.per_image, in_image = walk % of.per_image;
      const int q = in_image % of.strips * Columns;
      int p = in_image / of.strips * of.steps, h = Along::first_input(p, of.pad_top);
      const int end = std::min(p + of.steps, of.p);
      const Strip<T, V, Columns> strip_of_dy(dy + int64_t{image} * of.p * of.q * of.channels + channel, q,
                                             of.p, of.q, of.channels);
      const Strip<T, V, kInputColumns> strip_of_x(x + int64_t{image} * of.h * of.w * of.channels + channel,
                                                  Along::first_input(q, of.pad_left), of.h, of.w,
                                                  of.channels);
      Line<T, V, Columns> gradient = strip_of_dy.load(p);
      Line<T, V, kInputColumns> window[K];
#pragma unroll
      for (int i = 0; i < K; ++i) window[i] = strip_of_x.load(h + i);
      h += K;
#pragma unroll 1
      for (; p < end; ++p, h += S) {
        const bool goes_on = p + 1 < end;
        const Line<T, V, Columns> next_gradient = strip_of_dy.load(p + 1, goes_on);
        Line<T, V, kInputColumns> fresh[S];
#pragma unroll
        for (int i = 0; i < S; ++i) fresh[i] = strip_of_x.load(h + i, goes_on);
#pragma unroll
        for (int r = 0; r < K; ++r)
#pragma unroll
          for (int j = 0; j < kInputColumns; ++j)
#pragma unroll
            for (int b = 0; b < Columns; ++b) {
              const int s = Along::tap(b, j);
              if (s < 0 || s >= K) continue;
#pragma unroll
              for (int k = 0; k < V; ++k)
                sums[r][s][k] = fmaf(window[r].at(j, k), gradient.at(b, k), sums[r][s][k]);
            }
        gradient = next_gradient;
        move_on<kFlaw>(window, fresh);
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
template <class = void>  // so that several units can have it
__global__ void __launch_bounds__(kFinishChannels* kFinishLanes)
    add_parts(int channels, int taps, int parts, bool accumulate, const float* __restrict__ partials,
              float* __restrict__ dweight) {
  const int c = static_cast<int>(blockIdx.x * kFinishChannels + threadIdx.x),
            tap = static_cast<int>(blockIdx.y);
  double sums[1] = {};
  if (c < channels)
#pragma unroll 8
    for (int part = threadIdx.y; part < parts; part += kFinishLanes)
      sums[0] += partials[(int64_t{part} * taps + tap) * channels + c];
  sum_lanes(sums);
  if (c >= channels || threadIdx.y > 0) return;
  float& target = dweight[int64_t{c} * taps + tap];
  target = static_cast<float>(accumulate ? target + sums[0] : sums[0]);
}

// partials: workspace_bytes.
template <Flaw kFlaw = Flaw::None>
void queue_grad_weight(const Conv2dProblem& p, const Conv2dBuffers& b, float* partials,
                       const ExecutionContext& context) {
  const int taps = p.r * p.s;
  unsigned parts = 0;
  with_cut(p, [&](auto element, auto kernel, auto stride, const Cut& walks) {
    using T = decltype(element);
    parts = walks.parts;
    launch(context, dim3(walks.slices, walks.parts), dim3(walks.vectors, walks.lines), 0,
           add_products<T, decltype(kernel)::value, decltype(stride)::value, kFlaw>, walks.of, as<T>(b.x),
           as<T>(b.dy), partials);
  });
  launch(context, dim3(finish_grid(p.c).x, static_cast<unsigned>(taps)), finish_block(), 0, add_parts<>, p.c,
         taps, parts, p.accumulate != 0, static_cast<const float*>(partials), b.dweight);
}
inline size_t grad_weight_bytes(const Conv2dProblem& p) {
  size_t parts = 0;
  with_cut(p, [&](auto, auto, auto, const Cut& walks) { parts = walks.parts; });
  return sizeof(float) * parts * static_cast<size_t>(p.r * p.s) * static_cast<size_t>(p.c);
}

}  // namespace groupconv::cuda::depthwise
