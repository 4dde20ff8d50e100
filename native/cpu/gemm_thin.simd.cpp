// Matrix products that read a weight once and in place, limited by memory: few rows (or few columns) against
// a weight [n, k] by dot products, few rows against a weight [k, n] by adding scaled rows.
#include "cpu/context.h"
#include "cpu/gemm.h"
#include "cpu/simd.h"

namespace groupconv {
namespace {

#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kSums = 24;  // of 32 registers
#else
constexpr int kSums = 9;  // of 16 registers
#endif

// Above these, packing pays. Measured on Zen 5, n = 1000, k = 2048: dot products reach 88 % of the peak up to
// 128 rows with 32 registers (packed: 78 %), but 55 % with 16 registers (packed: 70 % and more from 48 rows
// on).
constexpr int64_t kMostDotLines = kSums == 24 ? 128 : 24;
constexpr int64_t kMostShortDotLines = 24;
constexpr int64_t kShortDot = 512;  // below, summing up the lanes weighs too much for more lines
constexpr int64_t kMostScaledRows = 8;

bool is_dots(const GemmProblem& p) {
  return !p.transpose_a && p.transpose_b &&
         min_of(p.m, p.n) <= (p.k < kShortDot ? kMostShortDotLines : kMostDotLines);
}
bool is_scaled_rows(const GemmProblem& p) { return !p.transpose_b && p.m <= kMostScaledRows; }

GROUPCONV_INLINE Vec load_first(const float* p, int64_t count) {
  float lanes[W] = {};
  for (int64_t i = 0; i < count; ++i) lanes[i] = p[i];
  return load_unaligned(lanes);
}

// The lanes of a without bit Half, and those of b with it, each plus its partner.
template <int Half, int... Is>
GROUPCONV_INLINE Vec sum_partners(Vec a, Vec b, Indices<Is...>) {
  return __builtin_shufflevector(a, b, (Is & Half ? W + Is - Half : Is)...) +
         __builtin_shufflevector(a, b, (Is & Half ? W + Is : Is + Half)...);
}
// Lane i of v[0] becomes the sum of v[i]'s lanes.
template <int Half>
GROUPCONV_INLINE void sum_each(Vec* v) {
  GROUPCONV_UNROLL
  for (int i = 0; i < Half; ++i)
    v[i] = sum_partners<Half>(v[i], v[i + Half], typename MakeIndices<W>::type{});
  if constexpr (Half > 1) sum_each<Half / 2>(v);
}

constexpr int kMostRows = 4;
constexpr int kMostColumns = kSums == 24 ? 8 : 4;
// 1 x 8, 2 x 8, 3 x 8, 4 x 6 with 32 registers; 1 x 4, 2 x 4, 3 x 3, 4 x 2 with 16.
constexpr int columns_for(int rows) { return kSums / rows < kMostColumns ? kSums / rows : kMostColumns; }

struct Dots {
  const float *a, *b;
  float* c;
  int64_t lda, ldb, ldc, k;
  bool accumulate;
};

template <int Rows, int Columns>
GROUPCONV_KERNEL void dot_tile(const Dots& d) {
  constexpr int kPadded = (Rows * Columns + W - 1) / W * W;
  Vec sum[kPadded] = {};  // [Rows, Columns]
  const auto step = [&](int64_t k, const auto& read) GROUPCONV_INLINE_LAMBDA {
    Vec right[Columns];
    GROUPCONV_UNROLL
    for (int j = 0; j < Columns; ++j) right[j] = read(d.b + j * d.ldb + k);
    GROUPCONV_UNROLL
    for (int r = 0; r < Rows; ++r) {
      const Vec left = read(d.a + r * d.lda + k);
      GROUPCONV_UNROLL
      for (int j = 0; j < Columns; ++j) sum[r * Columns + j] += left * right[j];
    }
  };
  int64_t k = 0;
  for (; k + W <= d.k; k += W)
    step(k, [](const float* p) GROUPCONV_INLINE_LAMBDA { return load_unaligned(p); });
  const int64_t rest = d.k - k;
  if (rest) step(k, [rest](const float* p) GROUPCONV_INLINE_LAMBDA { return load_first(p, rest); });
  float totals[kPadded];
  GROUPCONV_UNROLL
  for (int first = 0; first < kPadded; first += W) {
    sum_each<W / 2>(sum + first);
    store_unaligned(totals + first, sum[first]);
  }
  for (int r = 0; r < Rows; ++r)
    for (int j = 0; j < Columns; ++j) {
      float& c = d.c[r * d.ldc + j];
      c = d.accumulate ? c + totals[r * Columns + j] : totals[r * Columns + j];
    }
}

using DotFunction = void (*)(const Dots&);
template <int Rows, int... Is>
DotFunction dot_tile_of(int64_t columns, Indices<Is...>) {
  static constexpr DotFunction tiles[] = {dot_tile<Rows, Is + 1>...};
  return tiles[columns - 1];
}
template <int... Is>
DotFunction dot_tile_for(int64_t rows, int64_t columns, Indices<Is...>) {
  using Choose = DotFunction (*)(int64_t);
  static constexpr Choose choose[] = {[](int64_t count) {
    return dot_tile_of<Is + 1>(count, typename MakeIndices<columns_for(Is + 1)>::type{});
  }...};
  return choose[rows - 1](columns);
}

// Every row of A against a fixed block of B's rows, so that each weight comes from memory once.
void dots(const GemmProblem& p, const float* a, const float* b, float* c, const ExecutionContext& context) {
  const int64_t groups = ceil_div(p.m, kMostRows);
  constexpr int64_t kBlockColumns = 24;  // a multiple of every columns_for
  const int64_t column_blocks = ceil_div(p.n, kBlockColumns);
  // Tall problems have few columns: there the groups of rows are the pieces of work.
  const int64_t row_blocks = p.m > kMostDotLines ? groups : 1;
  parallel_for(context, column_blocks * row_blocks, [&](int64_t i) {
    const int64_t block = i / row_blocks, begin = block * kBlockColumns,
                  end = min_of(p.n, begin + kBlockColumns);
    const Range these = row_blocks == 1 ? Range{0, groups} : Range{i % row_blocks, i % row_blocks + 1};
    for (int64_t group = these.begin; group < these.end; ++group) {
      const int64_t row = p.m * group / groups, rows = p.m * (group + 1) / groups - row;
      const int64_t step = columns_for(static_cast<int>(rows));
      for (int64_t j = begin; j < end; j += step) {
        const Dots part{a + row * p.lda, b + j * p.ldb, c + row * p.ldc + j, p.lda, p.ldb,
                        p.ldc,           p.k,           p.accumulate};
        dot_tile_for(rows, min_of(step, end - j), typename MakeIndices<kMostRows>::type{})(part);
      }
    }
  });
}

constexpr int kRowsOfB = 4;

// c[0..columns) += sum over i < kRowsOfB of scale[i] * b[i * ldb + …].
GROUPCONV_KERNEL void add_scaled(const float* scale, const float* b, int64_t ldb, float* c, int64_t columns) {
  Vec factor[kRowsOfB];
  GROUPCONV_UNROLL
  for (int i = 0; i < kRowsOfB; ++i) factor[i] = broadcast(scale[i]);
  int64_t j = 0;
  for (; j + W <= columns; j += W) {
    Vec sum = load_unaligned(c + j);
    GROUPCONV_UNROLL
    for (int i = 0; i < kRowsOfB; ++i) sum += factor[i] * load_unaligned(b + i * ldb + j);
    store_unaligned(c + j, sum);
  }
  for (; j < columns; ++j)
    for (int i = 0; i < kRowsOfB; ++i) c[j] += scale[i] * b[i * ldb + j];
}

void scaled_rows(const GemmProblem& p, const float* a, const float* b, float* c,
                 const ExecutionContext& context) {
  constexpr int64_t kBlockColumns = 512;  // 2 KiB of each row of B; 16 KiB of C at most
  parallel_for(context, ceil_div(p.n, kBlockColumns), [&](int64_t block) {
    const int64_t first = block * kBlockColumns, columns = min_of(kBlockColumns, p.n - first);
    for (int64_t m = 0; m < p.m && !p.accumulate; ++m)
      for (int64_t j = 0; j < columns; ++j) c[m * p.ldc + first + j] = 0;
    const auto at = [&](int64_t m, int64_t k) { return p.transpose_a ? a[k * p.lda + m] : a[m * p.lda + k]; };
    int64_t k = 0;
    for (; k + kRowsOfB <= p.k; k += kRowsOfB)
      for (int64_t m = 0; m < p.m; ++m) {
        const float scale[kRowsOfB] = {at(m, k), at(m, k + 1), at(m, k + 2), at(m, k + 3)};
        add_scaled(scale, b + k * p.ldb + first, p.ldb, c + m * p.ldc + first, columns);
      }
    for (; k < p.k; ++k)
      for (int64_t m = 0; m < p.m; ++m) {
        const float scale = at(m, k);
        for (int64_t j = 0; j < columns; ++j) c[m * p.ldc + first + j] += scale * b[k * p.ldb + first + j];
      }
  });
}

bool accepts(const GemmProblem& p) { return is_dots(p) || is_scaled_rows(p); }

void run(const GemmProblem& p, const float* a, const float* b, float* c, const ExecutionContext& context) {
  if (is_dots(p))
    dots(p, a, b, c, context);
  else
    scaled_rows(p, a, b, c, context);
}

}  // namespace

namespace GROUPCONV_ISA {
extern const GemmThin gemm_thin = {accepts, run};
}

}  // namespace groupconv
