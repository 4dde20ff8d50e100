// The problems on which every conv2d solver is tested: {n, c, h, w, k, r, s, stride, dilation, padding,
// groups}.
#pragma once
#include <vector>

#include "ops/conv2d/conv2d.h"

namespace groupconv::test {

inline int ceil_div(int a, int b) { return (a + b - 1) / b; }

struct ProblemRow {
  int n, c, h, w, k, r, s;
  std::array<int32_t, 2> stride, dilation;
  std::array<int32_t, 4> padding;
  int groups;
};

inline std::vector<Conv2dProblem> conv2d_problems() {
  using Pair = std::array<int32_t, 2>;
  using Quad = std::array<int32_t, 4>;
  const Pair one{1, 1}, two{2, 2};
  const Quad none{0, 0, 0, 0}, same{1, 1, 1, 1};
  std::vector<ProblemRow> rows;
  // Pointwise: channels around the block width, pixels around the register tile, strided projections.
  for (int c : {1, 5, 16, 24, 40, 64})
    for (int k : {3, 8, 17, 32, 50})
      rows.push_back({1 + c % 2, c, 5 + k % 3, 3 + c % 7, k, 1, 1, one, one, none, 1});
  for (int size : {1, 7, 14, 15, 29}) rows.push_back({2, 32, size, size, 48, 1, 1, one, one, none, 1});
  for (int size : {1, 2, 7, 8, 14}) rows.push_back({2, 32, size, size + 1, 64, 1, 1, two, one, none, 1});
  rows.push_back({1, 1100, 3, 5, 40, 1, 1, one, one, none, 1});
  rows.push_back({1, 16, 6, 6, 32, 1, 1, {2, 1}, one, {1, 0, 2, 1}, 1});
  // Grouped 3x3: 4, 8, 16, 32 per group; whole and partial tiles, both strides, odd paddings.
  for (int per_group : {4, 8, 16, 32})
    for (int stride : {1, 2})
      for (auto [h, w] :
           {Pair{1, 1}, Pair{5, 9}, Pair{7, 7}, Pair{14, 14}, Pair{8, 29}, Pair{3, 2}, Pair{28, 28}})
        if (h * w * per_group <= 28 * 28 * 16)
          rows.push_back({per_group < 16 ? 2 : 1,
                          32 * (per_group == 32 ? 2 : 1),
                          h,
                          w,
                          32 * (per_group == 32 ? 2 : 1),
                          3,
                          3,
                          {stride, stride},
                          one,
                          same,
                          32 * (per_group == 32 ? 2 : 1) / per_group});
  for (Quad padding : {none, Quad{0, 1, 1, 0}, Quad{1, 0, 0, 1}, Quad{2, 1, 0, 3}})
    for (int per_group : {4, 8, 16})
      for (int stride : {1, 2})
        rows.push_back({1, 48, 8, 10, 48, 3, 3, {stride, stride}, one, padding, 48 / per_group});
  rows.push_back({1, 16, 9, 9, 16, 3, 3, one, two, {2, 2, 2, 2}, 4});
  rows.push_back({1, 16, 9, 11, 16, 3, 3, {2, 1}, one, same, 2});
  rows.push_back({1, 12, 9, 11, 12, 3, 3, one, one, same, 3});  // 4 per group, a partial vector
  rows.push_back({1, 40, 9, 11, 40, 3, 3, two, one, same, 5});  // 8 per group, a partial vector
  rows.push_back({1, 16, 6, 15, 32, 3, 3, one, one, same, 4});  // 4 in, 8 out per group
  // Groups in between, and of unequal sides.
  for (int per_group : {3, 5, 6, 7, 12, 24})
    for (int stride : {1, 2})
      rows.push_back({2, 3 * per_group, 7, 9, 3 * per_group, 3, 3, {stride, stride}, one, same, 3});
  // The same with many groups: patterns that repeat, and a last block with lanes to spare.
  for (int per_group : {3, 5, 6, 7, 9, 12, 13, 14, 20, 24, 40})
    for (int stride : {1, 2}) {
      const int channels = ceil_div(100, per_group) * per_group;
      rows.push_back({1, channels, 8, 15, channels, 3, 3, {stride, stride}, one, same, channels / per_group});
    }
  for (int per_group = 3; per_group <= 64; ++per_group)  // every pattern of vectors of 16 and less
    rows.push_back({1, 16 * per_group, 1, 2, 16 * per_group, 3, 3, one, one, same, 16});
  for (Quad padding : {none, Quad{0, 1, 1, 0}, Quad{2, 1, 0, 2}})
    rows.push_back({1, 48, 7, 10, 48, 3, 3, one, one, padding, 16});
  // Kernels that span five rows and columns: 5x5, and 3x3 with dilation 2.
  const auto five = [&](int kernel) { return kernel == 3 ? two : one; };  // its dilation
  for (int kernel : {3, 5})
    for (int per_group : {2, 3, 4, 6, 8, 12, 16, 24})
      for (auto [h, w] : {Pair{1, 1}, Pair{4, 2}, Pair{9, 19}})
        rows.push_back({2, 48, h, w, 48, kernel, kernel, one, five(kernel), {2, 2, 2, 2}, 48 / per_group});
  for (int kernel : {3, 5})
    for (Quad padding : {none, Quad{2, 1, 0, 2}, Quad{3, 2, 4, 2}})
      for (int groups : {1, 4, 5})
        rows.push_back({1, 40, 9, 17, 40, kernel, kernel, one, five(kernel), padding, groups});
  for (int kernel : {3, 5}) {
    rows.push_back({1, 20, 11, 9, 37, kernel, kernel, one, five(kernel), {2, 2, 2, 2}, 1});
    rows.push_back({2, 24, 11, 9, 24, kernel, kernel, two, five(kernel), {2, 2, 2, 2}, 4});
  }
  rows.push_back({1, 6, 5, 6, 9, 3, 3, one, one, same, 3});
  rows.push_back({1, 20, 5, 6, 12, 1, 1, one, one, none, 4});
  rows.push_back({1, 64, 5, 6, 32, 1, 1, two, one, none, 2});
  // Depthwise, with and without multipliers.
  for (int kernel : {3, 5})
    for (int stride : {1, 2})
      for (auto [h, w] : {Pair{1, 1}, Pair{7, 7}, Pair{9, 16}, Pair{14, 29}})
        rows.push_back({2,
                        24,
                        h,
                        w,
                        24,
                        kernel,
                        kernel,
                        {stride, stride},
                        one,
                        {kernel / 2, kernel / 2, kernel / 2, kernel / 2},
                        24});
  for (int channels : {5, 13, 33})
    rows.push_back({1, channels, 8, 8, channels, 3, 3, two, one, {0, 1, 1, 0}, channels});
  rows.push_back({1, 16, 9, 9, 16, 3, 3, one, two, {2, 2, 2, 2}, 16});
  rows.push_back({1, 16, 9, 9, 16, 1, 3, one, one, {0, 1, 0, 1}, 16});
  rows.push_back({1, 16, 9, 9, 16, 7, 7, one, one, {3, 3, 3, 3}, 16});
  rows.push_back({1, 12, 7, 8, 24, 3, 3, one, one, same, 12});
  rows.push_back({1, 7, 7, 8, 21, 3, 3, two, one, same, 7});
  rows.push_back({1, 3, 7, 8, 3, 3, 3, one, one, same, 3});
  rows.push_back({1, 3, 7, 8, 12, 3, 3, two, one, same, 3});  // x unblocked, y blocked
  rows.push_back({2, 20, 6, 7, 40, 5, 5, one, one, {2, 2, 2, 2}, 20});
  // Padding beyond the kernel crops gradInput.
  for (Quad padding : {none, Quad{3, 4, 3, 5}, Quad{0, 2, 3, 1}})
    for (int kernel : {3, 5})
      for (int stride : {1, 2})
        rows.push_back({1, 20, 9, 11, 20, kernel, kernel, {stride, stride}, one, padding, 20});
  for (int h : {2, 3, 4, 5, 6, 10, 11})  // gradWeight by four lines, two and one
    rows.push_back({1, 16, h, 6, 16, 3, 3, one, one, same, 16});
  rows.push_back({5, 8, 37, 41, 8, 3, 3, one, one, same, 8});  // gradWeight in several ranges of rows
  rows.push_back({3, 17, 40, 23, 17, 5, 5, two, one, {2, 2, 2, 2}, 17});
  rows.push_back({2, 16, 28, 28, 16, 7, 7, one, one, {3, 3, 3, 3}, 16});
  rows.push_back({1, 16, 11, 14, 16, 3, 3, {3, 2}, {1, 2}, {2, 1, 0, 3}, 16});
  rows.push_back({1, 16, 5, 40, 16, 1, 1, one, one, none, 16});
  // Depthwise and dilated: phases of unequal size, one after the other, or empty.
  for (int kernel : {3, 5, 7})
    for (int stride : {1, 2})
      for (auto [dilation, h, w] : {std::array{2, 14, 14}, std::array{2, 7, 12}, std::array{3, 10, 8},
                                    std::array{4, 3, 2}, std::array{6, 17, 1}}) {
        const int reach = dilation * (kernel - 1), before = reach / 2;
        rows.push_back({2,
                        20,
                        h,
                        w,
                        20,
                        kernel,
                        kernel,
                        {stride, stride},
                        {dilation, dilation},
                        {before, before, before, before},
                        20});
      }
  for (Quad padding : {none, Quad{5, 0, 2, 9}, Quad{1, 4, 0, 3}})
    rows.push_back({1, 16, 11, 12, 16, 3, 3, one, {2, 3}, padding, 16});
  rows.push_back({5, 8, 37, 41, 8, 3, 3, one, {3, 2}, {3, 2, 3, 2}, 8});  // several ranges of rows
  // Stems: thin images.
  for (int c : {1, 2, 3, 4})
    for (int k : {8, 33, 64}) rows.push_back({1 + c % 2, c, 23, 31, k, 7, 7, two, one, {3, 3, 3, 3}, 1});
  rows.push_back({2, 3, 32, 32, 64, 3, 3, one, one, same, 1});
  rows.push_back({2, 3, 33, 31, 32, 3, 3, two, one, same, 1});
  rows.push_back({1, 3, 30, 30, 32, 3, 3, two, one, {0, 1, 1, 0}, 1});
  rows.push_back({1, 1, 28, 28, 6, 5, 5, one, one, none, 1});
  rows.push_back({1, 3, 67, 67, 40, 11, 11, {4, 4}, one, {2, 2, 2, 2}, 1});
  rows.push_back({2, 3, 32, 48, 24, 16, 16, {16, 16}, one, none, 1});
  rows.push_back({1, 3, 20, 17, 24, 3, 3, {1, 2}, {2, 3}, {4, 1, 0, 7}, 1});
  rows.push_back({3, 2, 3, 2, 70, 3, 3, one, one, same, 1});
  rows.push_back({9, 3, 30, 40, 16, 3, 3, one, one, same, 1});  // gradWeight in several ranges of pixels
  for (int k : {6, 20, 24, 40, 50})
    rows.push_back({2, 1, 28, 28, k, 5, 5, one, one, {2, 2, 2, 2}, 1});  // halves
  rows.push_back({1, 1, 9, 600, 20, 3, 3, one, one, same, 1});           // rows of several chunks
  rows.push_back({2, 3, 12, 560, 40, 5, 5, two, one, {2, 1, 0, 2}, 1});
  rows.push_back({1, 2, 17, 19, 24, 3, 3, {2, 1}, {3, 1}, {3, 0, 2, 5}, 1});
  rows.push_back({1, 4, 5, 6, 24, 7, 7, one, one, {9, 1, 0, 4}, 1});  // chunks that meet nothing but padding
  // Dense, and everything unusual.
  for (int channels : {5, 16, 33, 48})
    for (int stride : {1, 2})
      rows.push_back({1, channels, 9, 15, 2 * channels, 3, 3, {stride, stride}, one, same, 1});
  rows.push_back({1, 32, 14, 14, 32, 5, 5, one, one, {2, 2, 2, 2}, 1});
  rows.push_back({1, 20, 9, 9, 12, 3, 3, one, two, {2, 2, 2, 2}, 1});
  rows.push_back({2, 13, 6, 8, 17, 1, 3, one, one, {0, 1, 0, 1}, 1});
  rows.push_back({2, 13, 6, 8, 17, 3, 1, {2, 1}, one, {1, 0, 1, 0}, 1});
  rows.push_back({1, 8, 9, 9, 16, 2, 2, two, one, none, 1});
  rows.push_back({1, 8, 12, 12, 16, 3, 3, {3, 3}, one, none, 2});
  rows.push_back({1, 8, 12, 12, 16, 3, 3, one, {1, 2}, {4, 5, 3, 6}, 1});
  rows.push_back({1, 8, 1, 12, 16, 7, 1, one, one, {3, 0, 3, 0}, 1});
  rows.push_back({3, 5, 1, 1, 7, 3, 3, one, one, same, 1});
  rows.push_back({1, 6, 4, 4, 4, 3, 3, one, one, same, 1});
  rows.push_back({1, 10, 4, 4, 2, 4, 4, one, one, none, 1});
  rows.push_back({1, 20, 12, 12, 24, 9, 9, one, one, {4, 4, 4, 4}, 1});  // more taps than are listed at once
  rows.push_back({1, 20, 12, 12, 20, 9, 9, two, one, {4, 4, 4, 4}, 5});
  rows.push_back({2, 160, 5, 6, 40, 3, 3, one, one, same, 1});   // more channels than are summed at once
  rows.push_back({1, 8, 9, 10, 8, 2, 2, {3, 3}, one, none, 1});  // pixels of x that no tap reads
  rows.push_back({2, 12, 13, 13, 20, 3, 3, two, two, {2, 2, 2, 2}, 4});
  rows.push_back({1, 6, 9, 9, 48, 3, 3, two, one, same, 6});
  // More than caches hold: several chunks, and what the next one reads is prefetched.
  rows.push_back({3, 24, 76, 72, 72, 1, 1, one, one, none, 1});
  rows.push_back({2, 40, 61, 67, 200, 1, 1, one, one, none, 1});
  // Windows of shuffled rows that move down, and rows too wide for one.
  for (int per_group : {3, 6, 12}) {
    rows.push_back({1, 24, 31, 30, 24, 3, 3, one, one, same, 24 / per_group});
    rows.push_back({1, 24, 31, 50, 24, 3, 3, two, one, {0, 1, 1, 0}, 24 / per_group});
    rows.push_back({1, 24, 23, 25, 24, 3, 3, one, two, {2, 2, 2, 2}, 24 / per_group});
    rows.push_back({1, 24, 6, 140, 24, 3, 3, one, one, same, 24 / per_group});
  }

  std::vector<Conv2dProblem> problems;
  for (const ProblemRow& row : rows)
    problems.push_back(conv2d_problem({row.n, row.c, row.h, row.w}, {row.k, row.c / row.groups, row.r, row.s},
                                      {row.stride, row.dilation, row.padding, row.groups}));
  return problems;
}

}  // namespace groupconv::test
