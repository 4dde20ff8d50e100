// Rows of a float32 tensor on their way into a ring in shared memory, for kernels on CUDA cores. There an
// instruction that computes an address takes a multiply-add's place, and all registers are taken: addresses
// are one multiplication away from numbers that are there anyhow.
#pragma once
#include "ops/conv2d/grouped3x3.stage.cuda.h"

namespace groupconv::cuda::grouped3x3 {

// A place in a ring of kSlots slots, in bytes.
template <int kSlots>
struct Slot {
  int bytes, offset = 0;
  // The slot so many before this one.
  __device__ __forceinline__ int back(int slots) const {
    const int before = offset - slots * bytes;
    return before < 0 ? before + kSlots * bytes : before;
  }
  __device__ __forceinline__ void next() { offset = offset == (kSlots - 1) * bytes ? 0 : offset + bytes; }
};

// Where a row of a tensor N H W C begins: `row` counts those of all images, `width` pixels each.
template <class Float>
__device__ __forceinline__ Float* row_of(Float* tensor, const Lines& lines, int row, int width) {
  return tensor + int64_t{row} * (width * lines.channels);
}

// Copies rows into slots, columns in their own order: the lanes that read at once read one pixel, or two.
template <int kPixels, int kStride, int kLeft, Flaw kFlaw = Flaw::None>
struct Feed : Stager<float, kPixels, kStride, kLeft, kPitch, kFlaw, false> {
  // `pixels`: of a slot, zeros outside of the images.
  __device__ __forceinline__ void copy_row(const Lines& lines, const float* tensor, int row, int width,
                                           int pixels, unsigned char* slot) {
    this->pixels = pixels;
    this->copy(row_of(tensor + blockIdx.y * kSlab<float>, lines, row, width), slot);
  }
};

// The source rows of a share of lines, always kStages - 1 of them on their way.
template <class Shape, class Walk, int kLeft, Flaw kFlaw>
struct FmaRing {
  unsigned char* const memory = shared_memory<unsigned char>();
  Slot<Shape::kStages> slot;  // at hand
  Walk walk;
  Feed<Shape::kPixels, Shape::kStride, kLeft, kFlaw> feed;

  __device__ __forceinline__ explicit FmaRing(const Lines& lines)
      : slot{lines.images_abreast * lines.width * kPitch} {
    walk.start(lines);
  }
  __device__ __forceinline__ void fill(const Lines& lines, const float* source) {
    aim(lines);
    for (int i = 0; i < Shape::kStages - 1; ++i) fetch(lines, source, i * slot.bytes);
  }
  // The stage at hand has come; the one before it, which all threads have left, is filled again.
  __device__ __forceinline__ const unsigned char* next(const Lines& lines, const float* source) {
    wait_copies<Shape::kStages - 2>();
    if constexpr (kFlaw != Flaw::NoBarrier) __syncthreads();
    fetch(lines, source, slot.back(1));
    const unsigned char* const at = memory + slot.offset;
    slot.next();
    return at;
  }

 private:
  __device__ __forceinline__ void aim(const Lines& lines) {
    feed.aim(lines, walk, lines.source_h, lines.source_w, lines.width, lines.by_width);
  }
  __device__ __forceinline__ void fetch(const Lines& lines, const float* source, int offset) {
    if (walk.valid()) {
      feed.copy_row(lines, source, walk.image * lines.source_h + walk.h, lines.source_w,
                    lines.images_abreast * lines.width, memory + offset);
      if (walk.advance(lines)) aim(lines);
    }
    commit_copies();
  }
};

}  // namespace groupconv::cuda::grouped3x3
