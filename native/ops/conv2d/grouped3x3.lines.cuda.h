// How a grouped 3x3 convolution with padding 1 is dealt out on a GPU.
//
// Its work is a sequence of lines. A line is one row of up to kSegments times 8 positions, of 128 bytes of
// channels (a slab): a strip of one wide image's row, or the same row of several narrow images side by side.
// Lines go down an image, then on to the next strip and the next images; a block of threads takes an equal
// share of the sequence and streams the source rows under it through a ring in shared memory, each row once.
#pragma once
#include "cuda/launch.h"
#include "ops/conv2d/conv2d.h"

namespace groupconv::cuda::grouped3x3 {

constexpr int kSegment = 8;  // neighbouring positions: rows of an 8 x 8 matrix
constexpr int kSlabBytes = 128;
template <class T>
constexpr int kSlab = kSlabBytes / static_cast<int>(sizeof(T));  // channels
constexpr int kBlocksPerMultiprocessor = 2;

// What a test breaks on purpose, to see that it notices.
enum class Flaw { None, NoBarrier, HalvesSwapped, NoMask, WrongPhase, NoTail, OneShare, StaleRows };

// Where a run begins, what follows from a thread's number is computed again: out of the loop, the compiler
// would keep all of it in registers, and spill.
__device__ __forceinline__ int computed_here(int number) {
  asm volatile("" : "+r"(number));
  return number;
}

// A row of the source: x or dy. A row of the target: y or dx.
struct Lines {
  int images, channels;
  int source_h, source_w, target_h, target_w;
  int rows;              // lines of one image from top to bottom
  int strips, segments;  // a line has `strips` parts of up to `segments` times 8 positions
  int images_abreast, sets;
  int width;  // pixels of one image's part of a source row, with the kernel's reach
  int count;  // of lines
  // `quotient`'s factors of segments, and of the pixels of an image in a row of width, or of whole segments.
  unsigned by_segments, by_width, by_positions;
};

inline int ceil_div(int a, int b) { return (a + b - 1) / b; }

// n / divisor as a product: exact for 0 <= n where n * divisor < 2^16.
constexpr unsigned factor_of(int divisor) { return (0x10000u + divisor - 1) / divisor; }
__host__ __device__ __forceinline__ constexpr int quotient(int n, unsigned factor) {
  return static_cast<int>(n * factor >> 16);
}

// `columns` positions to a row; a strip of them reads `stride` pixels a position, and `reach` more.
inline Lines lines_of(int images, int rows, int columns, int most_segments, int stride, int reach) {
  Lines lines{};
  const int segments = ceil_div(columns, kSegment);
  lines.images = images;
  lines.rows = rows;
  lines.strips = ceil_div(segments, most_segments);
  lines.segments = ceil_div(segments, lines.strips);
  lines.images_abreast = std::min(images, most_segments / lines.segments);
  lines.sets = ceil_div(images, lines.images_abreast);
  lines.width = lines.segments * kSegment * stride + reach;
  lines.count = lines.sets * lines.strips * rows;
  lines.by_segments = factor_of(lines.segments);
  lines.by_width = factor_of(lines.width);
  lines.by_positions = factor_of(lines.segments * kSegment);
  return lines;
}

// Blocks of threads that share a slab's lines.
inline int blocks_per_slab(const Lines& lines, int slabs, int multiprocessors) {
  return std::clamp(multiprocessors * kBlocksPerMultiprocessor / slabs, 1, lines.count);
}

// The source rows under a share of lines. A run is a part of it within one strip: lines first … last, which
// read the rows kStride * first - kAbove … kStride * last + 1, as far as they are kTop … source_h - 1.
template <int kStride, int kAbove, int kTop = 0>
struct Walk {
  int left;           // lines of the runs to come
  int image, column;  // the run's first image, and its first position
  int first, last;
  int h, last_h;  // the row at hand

  __device__ __forceinline__ void start(const Lines& lines) {
    const auto next = static_cast<int>(int64_t{lines.count} * blockIdx.x / gridDim.x);
    left = static_cast<int>(int64_t{lines.count} * (blockIdx.x + 1) / gridDim.x) - next;
    const int above = next / lines.rows;
    first = next % lines.rows;
    image = above / lines.strips * lines.images_abreast;
    column = above % lines.strips * lines.segments * kSegment;
    open(lines);
  }
  __device__ __forceinline__ bool valid() const { return h <= last_h; }
  // Whether a new run begins.
  __device__ __forceinline__ bool advance(const Lines& lines) {
    if (h < last_h) {
      ++h;
      return false;
    }
    // The one at hand went down to its images' last line, or none is left.
    first = 0;
    column += lines.segments * kSegment;
    if (column == lines.strips * lines.segments * kSegment) column = 0, image += lines.images_abreast;
    open(lines);
    return true;
  }

 private:
  __device__ __forceinline__ void open(const Lines& lines) {
    if (left <= 0) {
      h = 1, last_h = 0;
      return;
    }
    last = std::min(lines.rows - 1, first + left - 1);
    left -= last - first + 1;
    h = std::max(kStride * first - kAbove, kTop);
    last_h = std::min(kStride * last + 1, lines.source_h - 1);
  }
};

// Target rows that are complete once the source row at hand has been: of a run's last one, the target row
// under which the image ends is complete, too.
struct RowRange {
  int first, last;
};
template <int kStride, class Walk>
__device__ __forceinline__ RowRange completed_rows(const Walk& run) {
  const bool even = kStride == 2 && run.h % 2 == 0;
  const int middle = run.h / kStride;
  const bool image_ends = run.h == run.last_h && run.last == middle && (kStride == 1 || even);
  const int first = kStride == 1 ? run.h - 1 : even ? middle : (run.h - 1) / 2;
  return {first, even ? middle - 1 + image_ends : first + image_ends};
}

// Where in a line position `i` of segment `segment` is. Segments past the line's images are nowhere: image <
// 0.
struct Position {
  int image, column;  // of the run's
  __device__ __forceinline__ Position(const Lines& lines, int segment, int i)
      : image(quotient(segment, lines.by_segments)),
        column((segment - image * lines.segments) * kSegment + i) {
    if (image >= lines.images_abreast) image = -1, column = 0;
  }
};

}  // namespace groupconv::cuda::grouped3x3
