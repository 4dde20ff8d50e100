// Packed panels: for each slice of k, A and B are copied once into the order in which the register tile reads
// them, then every thread multiplies its blocks of C. A tile is up to kRows rows of A, broadcast, by two
// vectors of B.
#include "cpu/gemm.h"

#include "cpu/context.h"
#include "cpu/simd.h"

namespace groupconv {
namespace GROUPCONV_ISA {
extern const GemmThin gemm_thin;
}
namespace {

#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kRows = 14;  // 28 sums of 32 registers
#else
constexpr int kRows = 6;  // 12 sums of 16 registers
#endif
constexpr int kColumns = 2 * W;
constexpr int kLeft = (kRows + W - 1) / W * W;  // floats between two k of a packed row panel
constexpr int64_t kDepth = 512;                 // slice of k: a column panel of 64 KiB stays in the L2 cache
constexpr int64_t kPanelsPerBlock = 8;          // row panels of one piece of work

// Row panels differ by at most one row: 15 rows are 8 + 7, not 14 + 1.
int64_t row_panels(const GemmProblem& p) { return ceil_div(p.m, kRows); }
int64_t column_panels(const GemmProblem& p) { return ceil_div(p.n, kColumns); }
int64_t first_row(const GemmProblem& p, int64_t panel) { return p.m * panel / row_panels(p); }

// v[i][l] becomes v[l][i]: in each step lanes of one bit change places with vectors of the same bit.
template <int Half, int... Is>
GROUPCONV_INLINE void exchange(Vec& a, Vec& b, Indices<Is...>) {
  const Vec low = __builtin_shufflevector(a, b, (Is & Half ? W + Is - Half : Is)...);
  b = __builtin_shufflevector(a, b, (Is & Half ? W + Is : Is + Half)...);
  a = low;
}
template <int Half>
GROUPCONV_INLINE void transpose(Vec (&v)[W]) {
  GROUPCONV_UNROLL
  for (int i = 0; i < W; ++i)
    if (!(i & Half)) exchange<Half>(v[i], v[i + Half], typename MakeIndices<W>::type{});
  if constexpr (Half > 1) transpose<Half / 2>(v);
}

// A matrix seen as lines (rows of op(A), columns of op(B)) of k elements.
struct Lines {
  const float* first;
  int64_t line_stride, k_stride;  // one of them is 1
};
Lines lines_of_a(const GemmProblem& p, const float* a) {
  return p.transpose_a ? Lines{a, 1, p.lda} : Lines{a, p.lda, 1};
}
Lines lines_of_b(const GemmProblem& p, const float* b) {
  return p.transpose_b ? Lines{b, p.ldb, 1} : Lines{b, 1, p.ldb};
}

// Up to W lines, k contiguous in each: out[k * width + line], zero past `count`.
GROUPCONV_KERNEL void pack_transposed(const Lines& from, int64_t count, int64_t depth, int64_t width,
                                      float* out) {
  int64_t k = 0;
  for (; k + W <= depth; k += W) {
    Vec v[W] = {};
    for (int64_t line = 0; line < count; ++line)
      v[line] = load_unaligned(from.first + line * from.line_stride + k);
    transpose<W / 2>(v);
    GROUPCONV_UNROLL
    for (int i = 0; i < W; ++i) store(out + (k + i) * width, v[i]);
  }
  for (; k < depth; ++k)
    for (int64_t line = 0; line < W; ++line)
      out[k * width + line] = line < count ? from.first[line * from.line_stride + k] : 0;
}

// The same for lines that lie beside each other.
GROUPCONV_KERNEL void pack_rows(const Lines& from, int64_t count, int64_t depth, int64_t width, float* out) {
  for (int64_t k = 0; k < depth; ++k) {
    const float* row = from.first + k * from.k_stride;
    if (count == W)
      store(out + k * width, load_unaligned(row));
    else
      for (int64_t line = 0; line < W; ++line) out[k * width + line] = line < count ? row[line] : 0;
  }
}

// `count` lines from `line` on, [depth, width] with width a multiple of W that holds them.
void pack(const Lines& lines, int64_t line, int64_t count, int64_t k, int64_t depth, int64_t width,
          float* out) {
  for (int64_t part = 0; part < width; part += W) {
    const Lines from{lines.first + (line + part) * lines.line_stride + k * lines.k_stride, lines.line_stride,
                     lines.k_stride};
    const int64_t here = max_of(0, min_of(W, count - part));
    if (lines.k_stride == 1)
      pack_transposed(from, here, depth, width, out + part);
    else
      pack_rows(from, here, depth, width, out + part);
  }
}

struct Target {
  float* c;
  int64_t ldc, columns;
  bool accumulate;
};

// Rows x Vectors of C from packed panels of A [depth, kLeft] and of B [depth, Vectors * W].
template <int Rows, int Vectors>
GROUPCONV_KERNEL void tile(const float* a, const float* b, int64_t depth, const Target& target) {
  Vec sum[Rows][Vectors] = {};
  for (int64_t k = 0; k < depth; ++k, a += kLeft, b += Vectors * W) {
    Vec right[Vectors];
    GROUPCONV_UNROLL
    for (int v = 0; v < Vectors; ++v) right[v] = load(b + v * W);
    GROUPCONV_UNROLL
    for (int r = 0; r < Rows; ++r) {
      GROUPCONV_UNROLL
      for (int v = 0; v < Vectors; ++v) sum[r][v] += broadcast(a[r]) * right[v];
    }
  }
  if (target.columns == Vectors * W) {
    GROUPCONV_UNROLL
    for (int r = 0; r < Rows; ++r) {
      GROUPCONV_UNROLL
      for (int v = 0; v < Vectors; ++v) {
        float* c = target.c + r * target.ldc + v * W;
        store_unaligned(c, target.accumulate ? load_unaligned(c) + sum[r][v] : sum[r][v]);
      }
    }
    return;
  }
  alignas(64) float edge[Rows][Vectors * W];
  GROUPCONV_UNROLL
  for (int r = 0; r < Rows; ++r) {
    GROUPCONV_UNROLL
    for (int v = 0; v < Vectors; ++v) store(edge[r] + v * W, sum[r][v]);
  }
  for (int r = 0; r < Rows; ++r)
    for (int64_t j = 0; j < target.columns; ++j) {
      float& c = target.c[r * target.ldc + j];
      c = target.accumulate ? c + edge[r][j] : edge[r][j];
    }
}

using TileFunction = void (*)(const float*, const float*, int64_t, const Target&);
template <int Vectors, int... Is>
TileFunction tile_of(int64_t rows, Indices<Is...>) {
  static constexpr TileFunction tiles[] = {tile<Is + 1, Vectors>...};
  return tiles[rows - 1];
}

size_t workspace_bytes(const GemmProblem& p) {
  if (GROUPCONV_ISA::gemm_thin.accepts(p)) return 0;
  const int64_t width = row_panels(p) * kLeft + column_panels(p) * kColumns;
  return static_cast<size_t>(width * min_of(p.k, kDepth)) * sizeof(float);
}

// Columns of a panel in memory: the last one may be a single vector wide.
int64_t panel_width(const GemmProblem& p, int64_t panel) {
  return p.n - panel * kColumns <= W ? W : kColumns;
}

void run(const GemmProblem& p, const float* a, const float* b, float* c, void* workspace,
         const ExecutionContext& context) {
  if (GROUPCONV_ISA::gemm_thin.accepts(p)) return GROUPCONV_ISA::gemm_thin.run(p, a, b, c, context);
  const Lines left = lines_of_a(p, a), right = lines_of_b(p, b);
  const int64_t rows = row_panels(p), columns = column_panels(p), blocks = ceil_div(rows, kPanelsPerBlock);
  for (int64_t k = 0; k < p.k; k += kDepth) {
    const int64_t depth = min_of(kDepth, p.k - k);
    float* packed_b = static_cast<float*>(workspace);         // [columns][depth, kColumns]
    float* packed_a = packed_b + columns * depth * kColumns;  // [rows][depth, kLeft]
    parallel_for(context, columns + rows, [&](int64_t i) {
      if (i < columns) {
        const int64_t count = min_of(kColumns, p.n - i * kColumns);
        pack(right, i * kColumns, count, k, depth, panel_width(p, i), packed_b + i * depth * kColumns);
      } else {
        const int64_t panel = i - columns, first = first_row(p, panel);
        pack(left, first, first_row(p, panel + 1) - first, k, depth, kLeft, packed_a + panel * depth * kLeft);
      }
    });
    parallel_for(context, blocks * columns, [&](int64_t i) {
      const int64_t block = i / columns, column = i % columns;
      const float* panel_b = packed_b + column * depth * kColumns;
      for (int64_t panel = block * kPanelsPerBlock; panel < min_of(rows, (block + 1) * kPanelsPerBlock);
           ++panel) {
        const int64_t first = first_row(p, panel), count = first_row(p, panel + 1) - first;
        const Target target{c + first * p.ldc + column * kColumns, p.ldc,
                            min_of(kColumns, p.n - column * kColumns), p.accumulate || k > 0};
        const auto all = MakeIndices<kRows>::type{};
        const TileFunction function =
            panel_width(p, column) == W ? tile_of<1>(count, all) : tile_of<2>(count, all);
        function(packed_a + panel * depth * kLeft, panel_b, depth, target);
      }
    });
  }
}

}  // namespace

namespace GROUPCONV_ISA {
extern const Gemm gemm = {workspace_bytes, run};
}

}  // namespace groupconv
