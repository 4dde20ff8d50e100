// Source rows on their way into shared memory.
//
// One stage of the ring holds one line's source row: pixels [image][position][128 bytes], the pitch padded so
// that eight neighbouring positions lie in different banks. At stride 2 the even columns come first, then the
// odd ones: positions that a matrix instruction reads together are neighbours again.
#pragma once
#include "cuda/async_copy.h"
#include "ops/conv2d/grouped3x3.lines.cuda.h"

namespace groupconv::cuda::grouped3x3 {

constexpr int kVectors = kSlabBytes / 16;  // of a pixel
constexpr int kPitch = kSlabBytes + 16;

// Of pixels in a line's part, the even columns.
__host__ __device__ __forceinline__ int even_columns(int width) { return (width + 1) / 2; }

// One thread's part of every row. kPixels: the most that a stage holds; kLeft: the first position's column is
// that many before position * kStride; kParted: even columns come first.
template <class T, int kPixels, int kStride, int kLeft, int kPixelPitch = kPitch, Flaw kFlaw = Flaw::None,
          bool kParted = kStride == 2>
struct Stager {
  static constexpr int kPixelsPerRound = kThreads / kVectors;
  static constexpr int kRounds = (kPixels + kPixelsPerRound - 1) / kPixelsPerRound;
  static constexpr int kOutside = -1;

  int pixels;           // of a stage
  int offset[kRounds];  // elements from the row's first pixel; kOutside: zeros

  // For the rows of one run. `width` pixels of each image, and their factor for `quotient`.
  template <class Walk>
  __device__ __forceinline__ void aim(const Lines& lines, const Walk& run, int height, int columns, int width,
                                      unsigned by_width) {
    static_assert(kRounds * kPixelsPerRound * kPixels < 0x10000);
    pixels = lines.images_abreast * width;
    const int thread = computed_here(threadIdx.x);
    const int channel = thread % kVectors * (16 / sizeof(T));
    const bool channel_inside = static_cast<int>(blockIdx.y) * kSlab<T> + channel < lines.channels;
#pragma unroll
    for (int i = 0; i < kRounds; ++i) {
      const int pixel = i * kPixelsPerRound + thread / kVectors;
      const int image = quotient(pixel, by_width);
      int column = pixel - image * width;
      if constexpr (kParted) {
        const int even = even_columns(width);
        column = column < even ? 2 * column : 2 * (column - even) + 1;
      }
      column += run.column * kStride - kLeft;
      const bool inside = channel_inside && run.image + image < lines.images &&
                          image < lines.images_abreast &&
                          (kFlaw == Flaw::NoMask || (column >= 0 && column < columns));
      offset[i] = inside ? (image * height * columns + column) * lines.channels + channel : kOutside;
      if (kFlaw == Flaw::NoMask && inside) offset[i] = std::max(offset[i], 0);
    }
  }
  // `row`: column 0 of the row in the run's first image, at the slab's first channel.
  __device__ __forceinline__ void copy(const T* row, unsigned char* stage) const {
#pragma unroll
    for (int i = 0; i < kRounds; ++i) {
      const int pixel = i * kPixelsPerRound + threadIdx.x / kVectors;
      if (pixel < pixels)
        copy_async(stage + pixel * kPixelPitch + threadIdx.x % kVectors * 16,
                   row + (offset[i] < 0 ? 0 : offset[i]), offset[i] >= 0);
    }
  }
};

}  // namespace groupconv::cuda::grouped3x3
