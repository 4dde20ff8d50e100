// Statistics that x's maker left with x: used where they are whole and x is as it was, else x is read.
#include <algorithm>
#include <cmath>
#include <memory>

#include "core/check.h"
#include "core/recording.h"
#include "cpu/guarded.h"
#include "cpu/isa.h"
#include "cpu/pool.h"
#include "cpu/stream.h"
#include "ops/batchNorm/batchNorm.h"

namespace groupconv {
namespace {

using test::hashed_values;
using test::tensor_of;
using test::values_of;
using Values = std::vector<float>;

const Shape kShape{3, 21, 7, 9};
constexpr int64_t kPixels = 63;

// Leaves moments with x: those of x + shift.
void leave_moments(Tensor& x, const Values& values, double shift, bool whole) {
  const int block = x.activation_block();
  const int64_t blocks = (kShape[1] + block - 1) / block, planes = kShape[0] * blocks;
  const size_t bytes = PlaneMoments::bytes(planes, block);
  const auto memory = std::make_shared<Storage>(x.shared_stream(), bytes, bytes);
  const PlaneMoments moments = PlaneMoments::at(memory->data(), planes);
  for (int64_t i = 0; i < planes; ++i) moments.stored[i] = kPixels;
  if (!whole) moments.stored[planes - 1] = kPixels - 1;
  for (int64_t n = 0; n < kShape[0]; ++n)
    for (int64_t c = 0; c < blocks * block; ++c) {
      double sum = 0, squares = 0;
      const float* plane = values.data() + (n * kShape[1] + c) * kPixels;
      for (int64_t i = 0; c < kShape[1] && i < kPixels; ++i) sum += plane[i];
      for (int64_t i = 0; c < kShape[1] && i < kPixels; ++i)
        squares += (plane[i] - sum / kPixels) * (plane[i] - sum / kPixels);
      double* const to = moments.values + (n * blocks + c / block) * 2 * block + c % block;
      to[0] = c < kShape[1] ? sum / kPixels + shift : 0, to[block] = squares;
    }
  x.attach(memory);
}

struct Trained {
  Values y, statistics, running_mean, running_var;
};
Trained train(const std::shared_ptr<Stream>& stream, const Tensor& x) {
  const TensorPtr mean = tensor_of(stream, {21}, hashed_values(2, 21)),
                  variance = tensor_of(stream, {21}, Values(21, 1));
  const BatchNormForward result = batch_norm_train(x, nullptr, nullptr, mean.get(), variance.get(), 0.1f,
                                                   1e-5f, nullptr, Activation::None);
  return {values_of(*result.y), values_of(*result.statistics), values_of(*mean), values_of(*variance)};
}
double distance(const Trained& a, const Trained& b) {
  return std::max({test::relative_error(a.y, b.y), test::relative_error(a.statistics, b.statistics),
                   test::relative_error(a.running_mean, b.running_mean),
                   test::relative_error(a.running_var, b.running_var)});
}

void check(Isa isa, int threads) {
  const std::string note = std::string(isa_name(isa)) + " x" + std::to_string(threads);
  force_isa(isa);
  set_thread_count(threads);
  const std::shared_ptr<Stream> stream = std::make_shared<CpuStream>();
  Values values = hashed_values(1, static_cast<size_t>(kShape.size()));
  for (size_t i = 0; i < values.size(); ++i) values[i] += static_cast<float>(i / kPixels % 21);
  const TensorPtr x = tensor_of(stream, kShape, values);
  const Trained plain = train(stream, *x);

  leave_moments(*x, values, 0, true);
  CHECK_NOTE(distance(train(stream, *x), plain) < 1e-6, "moments " + note);
  CHECK_NOTE(distance(train(stream, *x), plain) == 0, "they are taken once " + note);
  // Wrong ones show that they are believed; and that they are not where they don't fit any more.
  leave_moments(*x, values, 3, true);
  CHECK_NOTE(distance(train(stream, *x), plain) > 0.1, "wrong moments " + note);
  leave_moments(*x, values, 3, false);
  CHECK_NOTE(distance(train(stream, *x), plain) == 0, "moments in part " + note);
  leave_moments(*x, values, 3, true);
  x->touch();
  CHECK_NOTE(distance(train(stream, *x), plain) == 0, "x was written since " + note);

  // A replay wouldn't find what was left outside of its recording.
  leave_moments(*x, values, 3, true);
  stream->synchronize();
  BatchNormForward recorded;
  stream->begin_recording();
  recorded = batch_norm_train(*x, nullptr, nullptr, nullptr, nullptr, 0.1f, 1e-5f, nullptr, Activation::None);
  const auto recording = stream->end_recording();
  recording->replay();
  CHECK_NOTE(test::relative_error(values_of(*recorded.y), plain.y) == 0, "recorded " + note);
}

}  // namespace
}  // namespace groupconv

int main() {
  using namespace groupconv;
  for (Isa isa : available_isas())
    for (int threads : {1, 2, 3}) check(isa, threads);
  return test::report();
}
