// Depthwise forward and gradInput: one kernel, because both are sums over the taps that reach a pixel.
//
// Bytes, for 16-bit 3x3 at stride 1: an output needs 2 read and 2 written; through the second-level cache a
// block of 8 x 16 pixels reads 10 x 18, 1.4 times as much, the rest of the 3 loads per output hit the first
// level. 9 multiply-adds, 3 conversions and about 3 instructions for addresses per output are 15, where a
// multiprocessor of an H100 has 39 issue slots in the time that memory takes for 4 bytes.
#include "cuda/activate.h"
#include "ops/conv2d/depthwise.window.cuda.h"

namespace groupconv::cuda {
namespace {

using namespace depthwise;

constexpr int V = 4;                // channels of a thread: 8 or 16 bytes
constexpr int kMostVectors = 16;    // of a block: 64 channels of a pixel, a line of 128 bytes in 16 bits
constexpr int kSlice = 4 * 16 + 4;  // floats between the taps in shared memory: few conflicts while filling

// Rows of a thread: two share most of their inputs, unless the stride takes them apart.
template <int S, bool Transposed>
constexpr int kRows = S == 2 && !Transposed ? 1 : 2;
// Blocks per multiprocessor for which registers are left; 0 leaves it to the compiler: 5 x 5 would spill.
template <int K>
constexpr int kBlocks = K == 5 ? 0 : 2;

// out = correlation of in: x and y, or dy and dx. `added` may be out.
struct Planes {
  int in_h, in_w, out_h, out_w, channels, images, pad_top, pad_left;
  Activation activation;
};
// A block takes vectors x columns x rows x images threads; the grid's tiles, from the fastest.
struct Tiling {
  int vectors, columns, rows, images;
  int slices, column_tiles, row_tiles;
};

template <class T, int K, int S, bool Transposed>
__global__ void __launch_bounds__(kThreads, kBlocks<K>)
    correlate(Planes planes, Tiling tiling, const T* __restrict__ in, const float* __restrict__ weight,
              const float* __restrict__ bias, const T* added, T* out) {
  using Along = Window<K, S, Transposed>;
  constexpr int Rows = kRows<S, Transposed>;
  constexpr int kInputRows = Along::inputs(Rows), kInputColumns = Along::inputs(kColumns);
  __shared__ Pack<float, V> packs[K * K * kSlice / V];
  float* const weights = packs[0].element;  // [taps, channels of the slice]
  unsigned tile = blockIdx.x;
  const auto next = [](unsigned& index, int extent) {
    const int digit = static_cast<int>(index % extent);
    index /= extent;
    return digit;
  };
  const int first_channel = next(tile, tiling.slices) * tiling.vectors * V;
  const int column_tile = next(tile, tiling.column_tiles), row_tile = next(tile, tiling.row_tiles);
  const int slice_channels = std::min(tiling.vectors * V, planes.channels - first_channel);
  for (int i = threadIdx.x; i < slice_channels * K * K; i += blockDim.x)
    weights[i % (K * K) * kSlice + i / (K * K)] = weight[first_channel * K * K + i];
  __syncthreads();

  unsigned place = threadIdx.x;
  const int own_channel = next(place, tiling.vectors) * V, channel = first_channel + own_channel;
  const int column = column_tile * tiling.columns + next(place, tiling.columns);
  const int row = row_tile * tiling.rows + next(place, tiling.rows);
  const int image = static_cast<int>(tile) * tiling.images + static_cast<int>(place);
  if (own_channel >= slice_channels || image >= planes.images) return;
  const int p = Along::first_output(row, Rows, planes.pad_top);
  const int q = Along::first_output(column, kColumns, planes.pad_left);
  const int h = Along::first_input(p, planes.pad_top), w = Along::first_input(q, planes.pad_left);
  if (p >= planes.out_h || q >= planes.out_w) return;

  in += int64_t{image} * planes.in_h * planes.in_w * planes.channels + channel;
  float sums[Rows][kColumns][V] = {};
#pragma unroll
  for (int i = 0; i < kInputRows; ++i) {
    Pack<T, V> line[kInputColumns];
#pragma unroll
    for (int j = 0; j < kInputColumns; ++j)
      line[j] = load_pixel<V>(in, h + i, w + j, planes.in_h, planes.in_w, planes.channels);
#pragma unroll
    for (int a = 0; a < Rows; ++a) {
      const int r = Along::tap(a, i);
      if (r < 0 || r >= K) continue;
#pragma unroll
      for (int s = 0; s < K; ++s) {
        const auto taps = load_pack<V>(weights + (r * K + s) * kSlice + own_channel);
#pragma unroll
        for (int j = 0; j < kInputColumns; ++j)
#pragma unroll
          for (int b = 0; b < kColumns; ++b) {
            if (Along::tap(b, j) != s) continue;
#pragma unroll
            for (int k = 0; k < V; ++k)
              sums[a][b][k] = fmaf(to_float(line[j].element[k]), taps.element[k], sums[a][b][k]);
          }
      }
    }
  }

  const int64_t first = int64_t{image} * planes.out_h * planes.out_w * planes.channels + channel;
  Pack<float, V> shift{};
  if (bias) shift = load_pack<V>(bias + channel);
#pragma unroll
  for (int a = 0; a < Rows; ++a)
#pragma unroll
    for (int b = 0; b < kColumns; ++b) {
      if (!inside(p + a, planes.out_h) || !inside(q + b, planes.out_w)) continue;
      const int64_t at = first + ((p + a) * planes.out_w + q + b) * planes.channels;
      Pack<T, V> before{}, result;
      if (added) before = load_pack<V>(added + at);
#pragma unroll
      for (int k = 0; k < V; ++k) {
        const float sum = sums[a][b][k] + shift.element[k] + to_float(before.element[k]);
        result.element[k] = from_float<T>(activate(planes.activation, sum));
      }
      store_pack(out + at, result);
    }
}

template <bool Transposed>
void queue(const Conv2dProblem& p, const Planes& planes, const float* in, const float* weight,
           const float* bias, const float* added, float* out, const ExecutionContext& context) {
  with_kernel(p, [&](auto element, auto kernel, auto stride) {
    using T = decltype(element);
    constexpr int K = decltype(kernel)::value, S = decltype(stride)::value;
    using Along = Window<K, S, Transposed>;
    constexpr int kMostColumns = 4;  // 16 pixels wide: a tile that is nearly square
    const int row_strips = ceil_div(planes.out_h + Along::before(planes.pad_top), kRows<S, Transposed>);
    const int column_strips = ceil_div(planes.out_w + Along::before(planes.pad_left), kColumns);
    Tiling t;
    t.vectors = balanced(planes.channels / V, kMostVectors);
    t.columns = balanced(column_strips, kMostColumns);
    t.rows = balanced(row_strips, kThreads / t.vectors / t.columns);
    t.images = balanced(planes.images, kThreads / t.vectors / t.columns / t.rows);
    t.slices = ceil_div(planes.channels / V, t.vectors);
    t.column_tiles = ceil_div(column_strips, t.columns);
    t.row_tiles = ceil_div(row_strips, t.rows);
    const unsigned blocks =
        static_cast<unsigned>(t.slices * t.column_tiles * t.row_tiles * ceil_div(planes.images, t.images));
    launch(context, dim3(blocks), dim3(static_cast<unsigned>(t.vectors * t.columns * t.rows * t.images)), 0,
           correlate<T, K, S, Transposed>, planes, t, as<T>(in), weight, bias, as<T>(added), as<T>(out));
  });
}

void forward(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  const Planes planes{p.h, p.w, p.p, p.q, p.c, p.n, p.pad_top, p.pad_left, p.activation};
  queue<false>(p, planes, b.x, b.weight, b.bias, b.residual, b.y, context);
}
void grad_input(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  const Planes planes{p.p, p.q, p.h, p.w, p.c, p.n, p.pad_top, p.pad_left, Activation::None};
  queue<true>(p, planes, b.dy, b.weight, nullptr, p.accumulate ? b.dx : nullptr, b.dx, context);
}

constexpr Conv2dSolver solvers[] = {
    {"depthwise", [](const Conv2dProblem& p) { return p.pass == Conv2dPass::Forward && is_depthwise(p); },
     forward},
    {"depthwise", [](const Conv2dProblem& p) { return p.pass == Conv2dPass::GradInput && is_depthwise(p); },
     grad_input},
};

}  // namespace

extern const Conv2dTable conv2d_depthwise = {solvers, 2};

}  // namespace groupconv::cuda
