#include "ops/softmax/softmax.h"
#include "cpu/context.h"
#include "cpu/exp.h"
#include "cpu/simd.h"

namespace groupconv {
namespace {

// Additions in one float32 lane before its sum goes on in float64.
constexpr int64_t kRun = 64;
constexpr float kLowest = -__builtin_inff();

// Calls body(i, vector at p + i) along a row; lanes past `count` hold `fill`.
template <class Body>
GROUPCONV_INLINE void along(const float* p, int64_t count, float fill, const Body& body) {
  int64_t i = 0;
  for (; i + W <= count; i += W) body(i, load_unaligned(p + i));
  if (i == count) return;
  Vec last = broadcast(fill);
  for (int64_t lane = 0; i + lane < count; ++lane) last[lane] = p[i + lane];
  body(i, last);
}

GROUPCONV_INLINE void store_upto(float* p, Vec v, int64_t count) {
  if (count >= W) return store_unaligned(p, v);
  for (int64_t lane = 0; lane < count; ++lane) p[lane] = v[lane];
}

GROUPCONV_INLINE Vec load_upto(const float* p, int64_t count) {
  if (count >= W) return load_unaligned(p);
  Vec v = {};
  for (int64_t lane = 0; lane < count; ++lane) v[lane] = p[lane];
  return v;
}

// Sum of term(i, vector) over the row; term gives 0 in lanes past the end.
template <class Term>
GROUPCONV_INLINE double sum_along(const float* p, int64_t count, float fill, const Term& term) {
  double total = 0;
  for (int64_t first = 0; first < count; first += kRun * W) {
    Vec sum = {};
    along(p + first, min_of(kRun * W, count - first), fill,
          [&](int64_t i, Vec v) { sum += term(first + i, v); });
    total += sum_lanes(sum);
  }
  return total;
}

// The axis is contiguous. A NaN may escape the maximum, but not the sum.
void forward_rows(const SoftmaxProblem& p, const SoftmaxBuffers& b, const ExecutionContext& context) {
  parallel_for(context, p.outer, [&](int64_t row) {
    const float* x = b.x + row * p.count;
    float* y = b.y + row * p.count;
    Vec most = broadcast(kLowest);
    along(x, p.count, kLowest, [&](int64_t, Vec v) { most = max(v, most); });
    float top = most[0];
    for (int lane = 1; lane < W; ++lane) top = most[lane] > top ? most[lane] : top;
    const Vec shift = broadcast(top);
    if (p.log) {
      const double sum = sum_along(x, p.count, kLowest, [&](int64_t, Vec v) { return exp(v - shift); });
      const Vec log_sum = broadcast(static_cast<float>(__builtin_log(sum)));
      along(x, p.count, 0, [&](int64_t i, Vec v) { store_upto(y + i, v - shift - log_sum, p.count - i); });
    } else {
      const double sum = sum_along(x, p.count, kLowest, [&](int64_t i, Vec v) {
        const Vec power = exp(v - shift);
        store_upto(y + i, power, p.count - i);
        return power;
      });
      const Vec scale = broadcast(static_cast<float>(1 / sum));
      along(y, p.count, 0, [&](int64_t i, Vec v) { store_upto(y + i, v * scale, p.count - i); });
    }
  });
}

template <bool Log>
void backward_rows(const SoftmaxProblem& p, const SoftmaxBuffers& b, const ExecutionContext& context) {
  parallel_for(context, p.outer, [&](int64_t row) {
    const float *y = b.y + row * p.count, *dy = b.dy + row * p.count;
    float* dx = b.dx + row * p.count;
    const auto term = [&](int64_t i, Vec v) { return Log ? v : v * load_upto(y + i, p.count - i); };
    const Vec sum = broadcast(static_cast<float>(sum_along(dy, p.count, 0, term)));
    along(y, p.count, 0, [&](int64_t i, Vec v) {
      const int64_t left = p.count - i;
      const Vec gradient = load_upto(dy + i, left);
      const Vec result = Log ? gradient - exp(v) * sum : v * (gradient - sum);
      store_upto(dx + i, p.accumulate ? load_upto(dx + i, left) + result : result, left);
    });
  });
}

// Rows lie side by side: each lane is a row of its own. Calls body(offset of the first element, lanes).
template <class Body>
void for_columns(const SoftmaxProblem& p, const ExecutionContext& context, const Body& body) {
  const int64_t vectors = ceil_div(p.inner, W);
  parallel_for(context, p.outer * vectors, [&](int64_t i) {
    const int64_t column = i % vectors * W;
    body(i / vectors * p.count * p.inner + column, min_of(W, p.inner - column));
  });
}

void forward_columns(const SoftmaxProblem& p, const SoftmaxBuffers& b, const ExecutionContext& context) {
  for_columns(p, context, [&](int64_t offset, int64_t lanes) {
    const float* x = b.x + offset;
    float* y = b.y + offset;
    Vec most = broadcast(kLowest);
    for (int64_t c = 0; c < p.count; ++c) most = max(load_upto(x + c * p.inner, lanes), most);
    double totals[W] = {};
    for (int64_t first = 0; first < p.count; first += kRun) {
      Vec sum = {};
      for (int64_t c = first; c < min_of(p.count, first + kRun); ++c) {
        const Vec power = exp(load_upto(x + c * p.inner, lanes) - most);
        if (!p.log) store_upto(y + c * p.inner, power, lanes);
        sum += power;
      }
      for (int lane = 0; lane < W; ++lane) totals[lane] += sum[lane];
    }
    Vec last;
    for (int lane = 0; lane < W; ++lane)
      last[lane] = static_cast<float>(p.log ? __builtin_log(totals[lane]) : 1 / totals[lane]);
    for (int64_t c = 0; c < p.count; ++c) {
      const int64_t at = c * p.inner;
      store_upto(y + at, p.log ? load_upto(x + at, lanes) - most - last : load_upto(y + at, lanes) * last,
                 lanes);
    }
  });
}

template <bool Log>
void backward_columns(const SoftmaxProblem& p, const SoftmaxBuffers& b, const ExecutionContext& context) {
  for_columns(p, context, [&](int64_t offset, int64_t lanes) {
    const float *y = b.y + offset, *dy = b.dy + offset;
    float* dx = b.dx + offset;
    double totals[W] = {};
    for (int64_t first = 0; first < p.count; first += kRun) {
      Vec sum = {};
      for (int64_t c = first; c < min_of(p.count, first + kRun); ++c) {
        const Vec gradient = load_upto(dy + c * p.inner, lanes);
        sum += Log ? gradient : gradient * load_upto(y + c * p.inner, lanes);
      }
      for (int lane = 0; lane < W; ++lane) totals[lane] += sum[lane];
    }
    Vec sum;
    for (int lane = 0; lane < W; ++lane) sum[lane] = static_cast<float>(totals[lane]);
    for (int64_t c = 0; c < p.count; ++c) {
      const int64_t at = c * p.inner;
      const Vec value = load_upto(y + at, lanes), gradient = load_upto(dy + at, lanes);
      const Vec result = Log ? gradient - exp(value) * sum : value * (gradient - sum);
      store_upto(dx + at, p.accumulate ? load_upto(dx + at, lanes) + result : result, lanes);
    }
  });
}

bool is_contiguous(const SoftmaxProblem& p) { return p.inner == 1; }

constexpr SoftmaxSolver solvers[] = {
    {"rows", [](const SoftmaxProblem& p) { return !p.backward && is_contiguous(p); }, forward_rows},
    {"rows", [](const SoftmaxProblem& p) { return p.backward && !p.log && is_contiguous(p); },
     backward_rows<false>},
    {"rows", [](const SoftmaxProblem& p) { return p.backward && p.log && is_contiguous(p); },
     backward_rows<true>},
    {"columns", [](const SoftmaxProblem& p) { return !p.backward; }, forward_columns},
    {"columns", [](const SoftmaxProblem& p) { return p.backward && !p.log; }, backward_columns<false>},
    {"columns", [](const SoftmaxProblem& p) { return p.backward && p.log; }, backward_columns<true>},
};

}  // namespace

namespace GROUPCONV_ISA {
extern const SoftmaxTable softmax_solvers = {solvers, 6};
}

}  // namespace groupconv
