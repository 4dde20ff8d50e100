// Depthwise forward and gradInput: one kernel, because both are sums over the taps that reach a pixel.
//
// Bytes, for 16-bit 3x3 at stride 1: an output needs 2 read and 2 written; neighbouring strips of a block
// share columns through the first-level cache, which sees 6 loaded pixels for 4 outputs. An H100's
// multiprocessor has 39 issue slots in the time that memory takes for these 4 bytes; an output takes 9
// multiply-adds, 4.5 conversions and some 8 instructions for addresses, taps, moves and the store. A thread's
// next row, 48 bytes, is on its way during 2/3 of a step; with two blocks that is 24 KB in flight for a
// multiprocessor, of which memory takes 2500 cycles to bring one step's 16 KB and to take away as many.
#pragma once
#include "cuda/activate.h"
#include "ops/conv2d/depthwise.window.cuda.h"

namespace groupconv::cuda::depthwise {

constexpr int kSliceChannels = 64;          // of a block: a line of 128 bytes in 16 bits
constexpr int kSlice = kSliceChannels + 4;  // floats between the taps in shared memory: few conflicts

template <class T>
constexpr int kVector = 8 / sizeof(T);  // channels of a thread
// Columns of a thread: what registers have room for, beside all rows of a window and those to come.
template <int K, int S, bool Transposed>
constexpr int kColumns = K == 3 && S == 1 ? 4 : 2;
// Blocks per multiprocessor for which registers are left.
template <class T, int K, int S>
constexpr int kBlocks = K == 3 && (S == 2 || sizeof(T) == 4) ? 3 : 2;

// out = correlation of in: x and y, or dy and dx. `added` may be out.
struct Planes {
  int in_h, in_w, out_h, out_w, channels, images, pad_top, pad_left;
  Activation activation;
};
// A block takes `vectors` of a slice of the channels x `places` threads: strips, then walks of `steps`, then
// images.
struct Tiling {
  int vectors, places, slices;
  int strips, walks, steps;
};

template <class T, int K, int S, bool Transposed, Flaw kFlaw>
__global__ void __launch_bounds__(kThreads, kBlocks<T, K, S>)
    correlate(Planes planes, Tiling tiling, const T* __restrict__ in, const float* __restrict__ weight,
              const float* __restrict__ bias, const T* added, T* out) {
  using Along = Window<K, S, Transposed>;
  constexpr int V = kVector<T>, Columns = kColumns<K, S, Transposed>, Rows = Along::kStepOutputs;
  constexpr int kInputRows = Along::inputs(Rows), kInputColumns = Along::inputs(Columns);
  constexpr int kFresh = Along::kStepInputs;
  __shared__ Pack<float, V> packs[(K * K + 1) * kSlice / V];
  float* const weights = packs[0].element;  // [taps and bias, channels of the slice]
  const auto next = [](unsigned& index, int extent) {
    const int digit = static_cast<int>(index % extent);
    index /= extent;
    return digit;
  };
  unsigned tile = blockIdx.x, thread = threadIdx.x;
  const int first_channel = next(tile, tiling.slices) * tiling.vectors * V;
  const int slice_channels = std::min(tiling.vectors * V, planes.channels - first_channel);
  const int own_channel = next(thread, tiling.vectors) * V, channel = first_channel + own_channel;
  unsigned place = tile * tiling.places + thread;
  const int column = next(place, tiling.strips), walk = next(place, tiling.walks);
  const auto image = static_cast<int>(place);
  int p = Along::first_output(walk, tiling.steps * Rows, planes.pad_top);
  const int q = Along::first_output(column, Columns, planes.pad_left);
  const bool takes_part =
      own_channel < slice_channels && image < planes.images && p < planes.out_h && q < planes.out_w;

  // The first rows are asked for before the weights, and come while those do.
  const Strip<T, V, kInputColumns> strip(
      in + int64_t{image} * planes.in_h * planes.in_w * planes.channels + channel,
      Along::first_input(q, planes.pad_left), planes.in_h, planes.in_w, planes.channels);
  int h = Along::first_input(p, planes.pad_top);
  Line<T, V, kInputColumns> window[kInputRows];
#pragma unroll
  for (int i = 0; i < kInputRows; ++i) window[i] = strip.load(h + i, takes_part);
  h += kInputRows;
  for (int i = threadIdx.x; i < slice_channels * K * K; i += blockDim.x)
    weights[i % (K * K) * kSlice + i / (K * K)] = weight[first_channel * K * K + i];
  for (int i = threadIdx.x; i < slice_channels; i += blockDim.x)
    weights[K * K * kSlice + i] = bias ? bias[first_channel + i] : 0;
  __syncthreads();
  if (!takes_part) return;

  const int64_t first = int64_t{image} * planes.out_h * planes.out_w * planes.channels + channel;
  const int end = std::min(p + tiling.steps * Rows, planes.out_h);
#pragma unroll 1
  for (; p < end; p += Rows, h += kFresh) {
    asm volatile("" ::: "memory");  // or the compiler keeps all weights in registers, and spills
    Line<T, V, kInputColumns> fresh[kFresh];
    const auto wanted = [&](int a, int b) {
      return inside(p + a, planes.out_h) && inside(q + b, planes.out_w);
    };
    const auto target = [&](int a, int b) {
      return first + ((p + a) * planes.out_w + q + b) * planes.channels;
    };

    float sums[Rows][Columns][V] = {};
#pragma unroll
    for (int i = 0; i < kInputRows; ++i) {
#pragma unroll
      for (int a = 0; a < Rows; ++a) {
        const int r = Along::tap(a, i);
        if (r < 0 || r >= K) continue;
        Pack<float, V> taps[K];
#pragma unroll
        for (int s = 0; s < K; ++s) taps[s] = load_pack<V>(weights + (r * K + s) * kSlice + own_channel);
#pragma unroll
        for (int j = 0; j < kInputColumns; ++j)
#pragma unroll
          for (int b = 0; b < Columns; ++b) {
            const int s = Along::tap(b, j);
            if (s < 0 || s >= K) continue;
#pragma unroll
            for (int k = 0; k < V; ++k)
              sums[a][b][k] = fmaf(window[i].at(j, k), taps[s].element[k], sums[a][b][k]);
          }
      }
      if (i >= kFresh) continue;
      asm volatile("" ::: "memory");  // not before: it takes the registers of row i, which has served
      fresh[i] = strip.load(h + i, p + Rows < end);
    }
    Line<T, V, Columns> before[Rows] = {};
    if (added)
#pragma unroll
      for (int a = 0; a < Rows; ++a)
#pragma unroll
        for (int b = 0; b < Columns; ++b)
          if (wanted(a, b)) before[a].load(b, added + target(a, b));
    const auto shift = load_pack<V>(weights + K * K * kSlice + own_channel);
#pragma unroll
    for (int a = 0; a < Rows; ++a)
#pragma unroll
      for (int b = 0; b < Columns; ++b) {
        if (!wanted(a, b)) continue;
        Pack<T, V> result;
#pragma unroll
        for (int k = 0; k < V; ++k) {
          const float sum = sums[a][b][k] + shift.element[k] + before[a].at(b, k);
          result.element[k] = from_float<T>(activate(planes.activation, sum));
        }
        store_pack(out + target(a, b), result);
      }
    move_on<kFlaw>(window, fresh);
  }
}

// Into how many walks an image's rows are cut. Long ones load little twice and fetch their weights seldom,
// but the device has to be filled: the least waves of blocks x steps, where a walk's beginning counts as K
// more. blocks(walks): how many there are then.
template <class Blocks>
int walks_of(int row_steps, int kernel, int blocks_at_once, const Blocks& blocks) {
  int best = 1;
  int64_t least = INT64_MAX;
  for (int walks = 1; walks <= row_steps; walks += std::max(1, walks / 2)) {
    const int steps = ceil_div(row_steps, walks);
    const int64_t waves = (blocks(ceil_div(row_steps, steps)) + blocks_at_once - 1) / blocks_at_once;
    if (waves * (steps + kernel) < least) best = walks, least = waves * (steps + kernel);
  }
  return best;
}

// `steps`: of a walk; 0 leaves it to the device's size.
template <bool Transposed, Flaw kFlaw = Flaw::None>
void queue_correlate(const Conv2dProblem& p, const Planes& planes, const float* in, const float* weight,
                     const float* bias, const float* added, float* out, const ExecutionContext& context,
                     int steps = 0) {
  with_kernel(p, [&](auto element, auto kernel, auto stride) {
    using T = decltype(element);
    constexpr int K = decltype(kernel)::value, S = decltype(stride)::value;
    using Along = Window<K, S, Transposed>;
    const int vectors = planes.channels / kVector<T>;
    const int row_steps = ceil_div(planes.out_h + Along::before(planes.pad_top), Along::kStepOutputs);
    Tiling t;
    t.strips = ceil_div(planes.out_w + Along::before(planes.pad_left), kColumns<K, S, Transposed>);
    t.vectors = balanced(vectors, kSliceChannels / kVector<T>);
    t.slices = ceil_div(vectors, t.vectors);
    t.places = kThreads / t.vectors;
    const auto blocks = [&](int walks) {
      return t.slices * ((int64_t{t.strips} * walks * planes.images + t.places - 1) / t.places);
    };
    const int at_once = cuda_context(context).multiprocessors * kBlocks<T, K, S>;
    t.steps = steps ? steps : ceil_div(row_steps, walks_of(row_steps, K, at_once, blocks));
    t.walks = ceil_div(row_steps, t.steps);
    launch(context, dim3(static_cast<unsigned>(blocks(t.walks))),
           dim3(static_cast<unsigned>(t.vectors * t.places)), 0, correlate<T, K, S, Transposed, kFlaw>,
           planes, t, as<T>(in), weight, bias, as<T>(added), as<T>(out));
  });
}

template <Flaw kFlaw = Flaw::None>
void queue_forward(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context,
                   int steps = 0) {
  const Planes planes{p.h, p.w, p.p, p.q, p.c, p.n, p.pad_top, p.pad_left, p.activation};
  queue_correlate<false, kFlaw>(p, planes, b.x, b.weight, b.bias, b.residual, b.y, context, steps);
}
template <Flaw kFlaw = Flaw::None>
void queue_grad_input(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context,
                      int steps = 0) {
  const Planes planes{p.p, p.q, p.h, p.w, p.c, p.n, p.pad_top, p.pad_left, Activation::None};
  queue_correlate<true, kFlaw>(p, planes, b.dy, b.weight, nullptr, p.accumulate ? b.dx : nullptr, b.dx,
                               context, steps);
}

}  // namespace groupconv::cuda::depthwise
