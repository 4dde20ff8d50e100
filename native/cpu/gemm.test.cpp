// Every instruction set's product against sums in float64: shapes around each tile's edge, all
// transpositions, leading dimensions with room, accumulation; guards; bitwise equal for any number of
// threads. Usage: gemm_test bench: times shapes of linear layers.
#include "cpu/gemm.h"

#include <sstream>

#include "core/check.h"
#include "cpu/context.h"
#include "cpu/guarded.h"
#include "cpu/isa.h"
#include "cpu/measure.h"

namespace groupconv {

GROUPCONV_PER_ISA(Gemm, gemm)

namespace {

using test::Guarded;

GemmProblem problem_of(int64_t m, int64_t n, int64_t k, bool transpose_a, bool transpose_b, bool accumulate,
                       int64_t room) {
  return {m,
          n,
          k,
          transpose_a,
          transpose_b,
          (transpose_a ? m : k) + room,
          (transpose_b ? k : n) + room,
          n + room,
          accumulate};
}
size_t size_of_a(const GemmProblem& p) { return static_cast<size_t>((p.transpose_a ? p.k : p.m) * p.lda); }
size_t size_of_b(const GemmProblem& p) { return static_cast<size_t>((p.transpose_b ? p.n : p.k) * p.ldb); }

std::vector<float> reference(const GemmProblem& p, const std::vector<float>& a, const std::vector<float>& b,
                             std::vector<float> c) {
  for (int64_t i = 0; i < p.m; ++i)
    for (int64_t j = 0; j < p.n; ++j) {
      double sum = p.accumulate ? c[i * p.ldc + j] : 0;
      for (int64_t k = 0; k < p.k; ++k)
        sum += double{a[p.transpose_a ? k * p.lda + i : i * p.lda + k]} *
               b[p.transpose_b ? j * p.ldb + k : k * p.ldb + j];
      c[i * p.ldc + j] = static_cast<float>(sum);
    }
  return c;
}

void check_problem(const GemmProblem& p, uint32_t seed) {
  const auto a = test::hashed_values(seed, size_of_a(p)), b = test::hashed_values(seed + 1, size_of_b(p)),
             c = test::hashed_values(seed + 2, static_cast<size_t>(p.m * p.ldc));
  const std::vector<float> expected = reference(p, a, b, c);
  for (Isa isa : available_isas()) {
    std::vector<float> first;
    for (int threads : {1, 2, 3}) {
      std::ostringstream note;
      note << isa_name(isa) << " x" << threads << " m " << p.m << " n " << p.n << " k " << p.k
           << (p.transpose_a ? " A^T" : "") << (p.transpose_b ? " B^T" : "") << (p.accumulate ? " +=" : "");
      const Gemm& gemm = gemm_for(isa);
      Guarded left(a), right(b), out(c), workspace(gemm.workspace_bytes(p) / sizeof(float));
      gemm.run(p, left.data(), right.data(), out.data(), workspace.data(), CpuContext(threads));
      CHECK_NOTE(left.intact() && right.intact() && out.intact() && workspace.intact(),
                 "guards " + note.str());
      const std::vector<float> actual = out.values();
      CHECK_NOTE(test::relative_error(actual, expected) <= 1e-6,
                 note.str() + " error " + std::to_string(test::relative_error(actual, expected)));
      for (int64_t i = 0; i < p.m; ++i)  // between the rows nothing may change
        for (int64_t j = p.n; j < p.ldc; ++j)
          if (actual[i * p.ldc + j] != c[i * p.ldc + j]) CHECK_NOTE(false, "gap " + note.str());
      if (threads == 1)
        first = actual;
      else
        CHECK_NOTE(test::same_bits(first, actual), "bitwise " + note.str());
    }
  }
}

void bench() {
  const double bandwidth = measure_bandwidth(1), peak = measure_peak(1);
  std::printf("one thread, %s: copy %.1f GB/s, peak %.0f GFLOP/s\n", isa_name(active_isa()), bandwidth / 1e9,
              peak / 1e9);
  struct Case {
    const char* what;
    bool transpose_a, transpose_b;
  };
  for (const Case& kind :
       {Case{"y  = x W'", false, true}, Case{"dx = dy W", false, false}, Case{"dW = dy' x", true, false}})
    for (int64_t batch : {1, 2, 4, 8, 16, 32, 48, 64, 128, 256}) {
      const bool weight_gradient = kind.transpose_a;
      const GemmProblem p = weight_gradient    ? problem_of(1000, 2048, batch, true, false, false, 0)
                            : kind.transpose_b ? problem_of(batch, 1000, 2048, false, true, false, 0)
                                               : problem_of(batch, 2048, 1000, false, false, false, 0);
      Guarded a(test::hashed_values(1, size_of_a(p))), b(test::hashed_values(2, size_of_b(p))),
          c(static_cast<size_t>(p.m * p.ldc));
      const Gemm& gemm = gemm_for(active_isa());
      Guarded workspace(gemm.workspace_bytes(p) / sizeof(float));
      const Timing t =
          time_work([&] { gemm.run(p, a.data(), b.data(), c.data(), workspace.data(), CpuContext(1)); }, 0.2);
      const double flops = 2.0 * p.m * p.n * p.k / t.min_seconds;
      const double bytes = 4.0 * (p.m * p.k + p.n * p.k + p.m * p.n) / t.min_seconds;
      std::printf("%-10s batch %3d: %7.3f ms, %6.1f GFLOP/s (%3.0f %%), %5.1f GB/s\n", kind.what, int(batch),
                  t.min_seconds * 1e3, flops / 1e9, 100 * flops / peak, bytes / 1e9);
    }
}

}  // namespace
}  // namespace groupconv

int main(int argc, char**) {
  using namespace groupconv;
  if (argc > 1) return bench(), 0;
  uint32_t seed = 1;
  for (int variant = 0; variant < 8; ++variant) {
    const bool ta = variant & 1, tb = variant & 2, accumulate = variant & 4;
    for (int64_t m : {1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 14, 15, 29, 33, 130})
      for (int64_t n : {1, 5, 16, 31, 32, 33, 70})
        check_problem(problem_of(m, n, 1 + seed % 37, ta, tb, accumulate, seed % 3), seed), ++seed;
    for (int64_t k : {1, 7, 8, 15, 16, 17, 511, 512, 513, 1100})
      for (int64_t m : {3, 17, 40}) check_problem(problem_of(m, 35, k, ta, tb, accumulate, 1), seed), ++seed;
    check_problem(problem_of(5, 1200, 40, ta, tb, accumulate, 0), seed++);
  }
  return test::report();
}
