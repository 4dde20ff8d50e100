// Direct sums over N H W C, a thread for every output element: any geometry, any groups. Neighbouring threads
// have neighbouring channels, so that outputs are written in whole lines and inputs come by broadcast.
//
// gradWeight sums over all pixels: cut into parts, each summed on its own, which a second pass adds in order.
#include "cuda/activate.h"
#include "cuda/element.h"
#include "cuda/launch.h"
#include "ops/conv2d/conv2d.h"

namespace groupconv::cuda {
namespace {

// Where the channels of one pixel begin.
template <class T>
__device__ __forceinline__ const T* pixel_of(const T* image, int n, int h, int w, int height, int width,
                                             int channels) {
  return image + ((int64_t{n} * height + h) * width + w) * channels;
}

// An element of N H W C by its number.
struct Element {
  int n, h, w, c;
};
__device__ __forceinline__ Element element_at(int64_t i, int height, int width, int channels) {
  const int64_t pixel = i / channels, row = pixel / width;
  return {static_cast<int>(row / height), static_cast<int>(row % height), static_cast<int>(pixel % width),
          static_cast<int>(i % channels)};
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    forward(Conv2dProblem p, const T* __restrict__ x, const float* __restrict__ weight,
            const float* __restrict__ bias, const T* residual, T* y) {
  const int cg = p.c / p.groups, kg = p.k / p.groups, taps = p.r * p.s;
  GROUPCONV_GRID_STRIDE(i, int64_t{p.n} * p.p * p.q * p.k) {
    const Element at = element_at(i, p.p, p.q, p.k);
    const float* const filter = weight + int64_t{at.c} * cg * taps;  // [cg, r, s]
    float sum = 0;
    for (int r = 0; r < p.r; ++r) {
      const int h = at.h * p.stride_h + r * p.dilation_h - p.pad_top;
      if (h < 0 || h >= p.h) continue;
      for (int s = 0; s < p.s; ++s) {
        const int w = at.w * p.stride_w + s * p.dilation_w - p.pad_left;
        if (w < 0 || w >= p.w) continue;
        const T* const from = pixel_of(x, at.n, h, w, p.h, p.w, p.c) + at.c / kg * cg;
        for (int c = 0; c < cg; ++c) sum += filter[c * taps + r * p.s + s] * to_float(from[c]);
      }
    }
    if (p.has_bias) sum += bias[at.c];
    if (p.has_residual) sum += to_float(residual[i]);
    y[i] = from_float<T>(activate(p.activation, sum));
  }
}

// The output position whose tap lies on an input position, or -1.
__device__ __forceinline__ int output_of(int input, int tap, int pad, int dilation, int stride, int extent) {
  const int steps = input + pad - tap * dilation;
  return steps < 0 || steps % stride || steps / stride >= extent ? -1 : steps / stride;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    grad_input(Conv2dProblem p, const T* __restrict__ dy, const float* __restrict__ weight, T* dx) {
  const int cg = p.c / p.groups, kg = p.k / p.groups, taps = p.r * p.s;
  GROUPCONV_GRID_STRIDE(i, int64_t{p.n} * p.h * p.w * p.c) {
    const Element at = element_at(i, p.h, p.w, p.c);
    const int first = at.c / cg * kg;  // output channel of the group
    float sum = 0;
    for (int r = 0; r < p.r; ++r) {
      const int h = output_of(at.h, r, p.pad_top, p.dilation_h, p.stride_h, p.p);
      if (h < 0) continue;
      for (int s = 0; s < p.s; ++s) {
        const int w = output_of(at.w, s, p.pad_left, p.dilation_w, p.stride_w, p.q);
        if (w < 0) continue;
        const T* const from = pixel_of(dy, at.n, h, w, p.p, p.q, p.k) + first;
        const float* const filters =
            weight + (int64_t{first} * cg + at.c % cg) * taps + r * p.s + s;  // [kg, cg, r, s]
        for (int k = 0; k < kg; ++k) sum += filters[int64_t{k} * cg * taps] * to_float(from[k]);
      }
    }
    dx[i] = from_float<T>(p.accumulate ? to_float(dx[i]) + sum : sum);
  }
}

constexpr int64_t kWorkers = 1 << 18;  // threads that fill any device
constexpr int64_t kLeastRows = 16;     // of y, for one part

int64_t elements_of(const Conv2dProblem& p) { return int64_t{p.k} * p.channels_per_group() * p.r * p.s; }
int64_t rows_of(const Conv2dProblem& p) { return int64_t{p.n} * p.p; }
int64_t parts_of(const Conv2dProblem& p) {
  const int64_t most = (rows_of(p) + kLeastRows - 1) / kLeastRows;
  return std::clamp<int64_t>(kWorkers / elements_of(p), 1, most);
}

// parts[part, element]: the sum over that part's rows of y. A row is added up before it joins the sum, which
// keeps the sum's error small.
template <class T>
__global__ void __launch_bounds__(kThreads)
    grad_weight(Conv2dProblem p, int64_t part_rows, int64_t count, const T* __restrict__ x,
                const T* __restrict__ dy, float* __restrict__ parts) {
  const int cg = p.c / p.groups, kg = p.k / p.groups, taps = p.r * p.s;
  const int64_t rows = int64_t{p.n} * p.p, elements = int64_t{p.k} * cg * taps;
  GROUPCONV_GRID_STRIDE(i, count) {
    const int64_t part = i / elements, element = i % elements, filter = element / taps;  // [k, cg, r, s]
    const int s = static_cast<int>(element % p.s), r = static_cast<int>(element / p.s % p.r);
    const int k = static_cast<int>(filter / cg), c = k / kg * cg + static_cast<int>(filter % cg);
    const int64_t last = std::min((part + 1) * part_rows, rows);
    float sum = 0;
    for (int64_t row = part * part_rows; row < last; ++row) {
      const int n = static_cast<int>(row / p.p);
      const int h = static_cast<int>(row % p.p) * p.stride_h + r * p.dilation_h - p.pad_top;
      if (h < 0 || h >= p.h) continue;
      const T* const dys = dy + row * p.q * p.k + k;
      float row_sum = 0;
      for (int q = 0; q < p.q; ++q) {
        const int w = q * p.stride_w + s * p.dilation_w - p.pad_left;
        if (w >= 0 && w < p.w)
          row_sum += to_float(dys[int64_t{q} * p.k]) * to_float(pixel_of(x, n, h, w, p.h, p.w, p.c)[c]);
      }
      sum += row_sum;
    }
    parts[i] = sum;
  }
}

__global__ void __launch_bounds__(kThreads)
    add_parts(int64_t elements, int64_t count, bool accumulate, const float* __restrict__ parts,
              float* __restrict__ dweight) {
  GROUPCONV_GRID_STRIDE(i, elements) {
    float sum = accumulate ? dweight[i] : 0;
    for (int64_t part = 0; part < count; ++part) sum += parts[part * elements + i];
    dweight[i] = sum;
  }
}

void run_forward(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    launch(context, grid_for(context, int64_t{p.n} * p.p * p.q * p.k), kThreads, 0, forward<T>, p, as<T>(b.x),
           b.weight, b.bias, as<T>(b.residual), as<T>(b.y));
  });
}

void run_grad_input(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    launch(context, grid_for(context, int64_t{p.n} * p.h * p.w * p.c), kThreads, 0, grad_input<T>, p,
           as<T>(b.dy), b.weight, as<T>(b.dx));
  });
}

void run_grad_weight(const Conv2dProblem& p, const Conv2dBuffers& b, const ExecutionContext& context) {
  const int64_t elements = elements_of(p), most = parts_of(p), part_rows = (rows_of(p) + most - 1) / most;
  const int64_t parts = (rows_of(p) + part_rows - 1) / part_rows;
  const auto sums = static_cast<float*>(b.workspace);
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    launch(context, grid_for(context, elements * parts), kThreads, 0, grad_weight<T>, p, part_rows,
           elements * parts, as<T>(b.x), as<T>(b.dy), sums);
  });
  launch(context, grid_for(context, elements), kThreads, 0, add_parts, elements, parts, p.accumulate != 0,
         sums, b.dweight);
}

constexpr Conv2dSolver solvers[] = {
    {"direct", [](const Conv2dProblem& p) { return p.pass == Conv2dPass::Forward; }, run_forward},
    {"direct", [](const Conv2dProblem& p) { return p.pass == Conv2dPass::GradInput; }, run_grad_input},
    {"direct", [](const Conv2dProblem& p) { return p.pass == Conv2dPass::GradWeight; }, run_grad_weight,
     [](const Conv2dProblem& p) {
       return static_cast<size_t>(elements_of(p) * parts_of(p)) * sizeof(float);
     }},
};

}  // namespace

extern const Conv2dTable conv2d_direct = {solvers, 3};

}  // namespace groupconv::cuda
