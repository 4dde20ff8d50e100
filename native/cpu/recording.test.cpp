// The rules by which work is repeated: whose memory is whose, where the values of tensors are looked for and
// left, when derived forms are made again.
#include "core/recording.h"

#include <cstring>

#include "core/check.h"
#include "cpu/isa.h"
#include "cpu/stream.h"

namespace groupconv {
namespace {

using test::check_throws;
using Values = std::vector<float>;
using StreamPtr = std::shared_ptr<CpuStream>;

TensorPtr make(const StreamPtr& stream, const Shape& shape, const Values& values) {
  const TensorPtr tensor = make_tensor(stream, shape, DType::Float32);
  stream->upload(values.data(), *tensor);
  return tensor;
}
void set(Tensor& tensor, const Values& values) {
  tensor.touch();
  tensor.stream().upload(values.data(), tensor);
}
Values read(const Tensor& tensor) {
  Values values(static_cast<size_t>(tensor.size()));
  tensor.stream().download(tensor, values.data());
  tensor.stream().synchronize();
  return values;
}

// y = x + amount, through memory of `x.block()`.
TensorPtr plus(const Tensor& x, float amount) {
  const int block = x.block();
  const float* from = x.in_layout(block);
  const TensorPtr y = make_tensor(x.shared_stream(), x.shape(), DType::Float32, block);
  x.stream().submit(
      [from, to = y->target_in_layout(block), size = x.physical_size(), amount](const ExecutionContext&) {
        for (int64_t i = 0; i < size; ++i) to[i] = from[i] + amount;
      });
  return y;
}
void increase(Tensor& x) {
  x.stream().submit([to = x.update_in_layout(1), size = x.size()](const ExecutionContext&) {
    for (int64_t i = 0; i < size; ++i) to[i] += 1;
  });
}
// Ten times the parameter, kept beside it.
int made = 0;
const float* tenfold(const Tensor& parameter, const std::string& key = "tenfold", float number = 10) {
  const float* from = parameter.in_layout(1);
  return parameter.derived(key, Stamp({&parameter}, number),
                           static_cast<size_t>(parameter.size()) * sizeof(float), [&](float* to) {
                             parameter.stream().submit([=, size = parameter.size()](const ExecutionContext&) {
                               ++made;
                               for (int64_t i = 0; i < size; ++i) to[i] = number * from[i];
                             });
                           });
}
TensorPtr copy_of(const Tensor& like, const float* from) {
  const TensorPtr y = make_tensor(like.shared_stream(), like.shape(), DType::Float32);
  like.stream().submit([=, to = y->target_in_layout(1), size = like.size()](const ExecutionContext&) {
    std::memcpy(to, from, static_cast<size_t>(size) * sizeof(float));
  });
  return y;
}

template <class Run>
std::shared_ptr<Recording> record(Stream& stream, const Run& run) {
  stream.begin_recording();
  run();
  return stream.end_recording();
}

void check_values() {
  const auto stream = std::make_shared<CpuStream>();
  const TensorPtr x = make(stream, {3}, {1, 2, 3}), count = make(stream, {1}, {0});
  TensorPtr y;
  const auto recording = record(*stream, [&] {
    const TensorPtr middle = plus(*x, 1);
    y = plus(*middle, 1);
    increase(*count);
  });
  CHECK(read(*y) == Values({3, 4, 5}) && read(*count) == Values{1});
  set(*x, {10, 20, 30});
  const uint64_t version = y->version();
  recording->replay();
  CHECK(read(*y) == Values({12, 22, 32}) && read(*count) == Values{2});
  CHECK(y->version() > version && count->version() > version);
  set(*count, {7});
  recording->replay();
  CHECK(read(*count) == Values{8});
}

// Whatever the layout in which a tensor is found, left or rewritten.
void check_layouts() {
  const auto stream = std::make_shared<CpuStream>();
  const int block = simd_width(active_isa());
  for (const int64_t channels : {int64_t{block}, int64_t{block} + 3})
    for (const bool blocked_before : {false, true})
      for (const bool written : {false, true}) {
        const Shape shape{2, channels, 2, 3};
        const auto filled = [&](float from) {
          Values values(static_cast<size_t>(shape.size()));
          for (float& value : values) value = from++;
          return values;
        };
        const TensorPtr x = make(stream, shape, filled(0));
        if (blocked_before) x->in_layout(block);
        TensorPtr y;
        const auto recording = record(*stream, [&] {
          if (written) increase(*x);
          x->in_layout(block);
          y = plus(*x, 100);
        });
        for (float call = 1; call < 4; ++call) {
          if (call == 1 || !written) set(*x, filled(1000 * call));
          if (call == 2) x->in_layout(block);  // somebody else's reading may change the layout
          if (call == 3) y->in_layout(1);
          const Values before = read(*x);
          recording->replay();
          const Values after = read(*x), result = read(*y);
          for (size_t i = 0; i < result.size(); ++i)
            CHECK(after[i] == before[i] + (written ? 1 : 0) && result[i] == after[i] + 100);
        }
      }
}

void check_memory() {
  const auto stream = std::make_shared<CpuStream>();
  const size_t bytes = 20000;
  void* const outside = stream->allocate(bytes);
  TensorPtr kept;
  auto recording = record(*stream, [&] {
    void* const first = stream->allocate(bytes);
    stream->release(first, bytes);
    CHECK(stream->allocate(bytes) == first);  // within the recording, a block is handed out again
    stream->release(first, bytes);
    stream->release(outside, bytes);
    void* const second = stream->allocate(bytes);
    CHECK(second != outside);  // what was the stream's is no part of the recording
    stream->release(second, bytes);
    kept = make_tensor(stream, {1000}, DType::Float32);
  });
  CHECK(recording->bytes() == Arena::rounded(bytes) + Arena::rounded(4000));
  void* const block = stream->allocate(bytes);
  CHECK(block == outside);
  void* const other = stream->allocate(bytes);  // free in the recording alone
  const size_t reserved = stream->reserved_bytes();
  recording.reset();
  void* const returned = stream->allocate(bytes);
  CHECK(stream->reserved_bytes() == reserved);  // the recording's
  float* const memory = kept->update_in_layout(1);
  const TensorPtr fresh = make_tensor(stream, {1000}, DType::Float32);
  CHECK(fresh->in_layout(1) != memory);  // still in use
  kept.reset();
  CHECK(make_tensor(stream, {1000}, DType::Float32)->in_layout(1) == memory);
  for (void* each : {block, other, returned}) stream->release(each, bytes);

  // A tensor that is gone, but was read: its memory is nobody else's.
  TensorPtr x = make(stream, {100}, Values(100, 5));
  const float* const read_from = x->in_layout(1);
  recording = record(*stream, [&] { plus(*x, 1); });
  x.reset();
  CHECK(make_tensor(stream, {100}, DType::Float32)->in_layout(1) != read_from);
  check_throws(ErrorCode::Disposed, "replay: a tensor", [&] { recording->replay(); });
  recording.reset();
  CHECK(make_tensor(stream, {100}, DType::Float32)->in_layout(1) == read_from);

  // A region of the recording's goes back when the last block in it does.
  constexpr size_t kRegion = size_t{2} << 20;
  if (Arena::is_small(kRegion)) return;  // AddressSanitizer: there are none
  recording = record(*stream, [&] { kept = make_tensor(stream, {100000}, DType::Float32); });
  CHECK(recording->bytes() == kRegion);
  recording.reset();
  kept.reset();
  const size_t held = stream->reserved_bytes();
  stream->release(stream->allocate(kRegion), kRegion);
  CHECK(stream->reserved_bytes() == held);
}

void check_derived() {
  const auto stream = std::make_shared<CpuStream>();
  const TensorPtr weight = make(stream, {2}, {1, 2});
  TensorPtr y;
  tenfold(*weight);
  stream->synchronize();
  made = 0;
  auto recording = record(*stream, [&] { y = copy_of(*weight, tenfold(*weight)), tenfold(*weight); });
  CHECK(read(*y) == Values({10, 20}) && made == 1);
  recording->replay();
  CHECK(read(*y) == Values({10, 20}) && made == 1);  // the parameter is as it was
  set(*weight, {3, 4});
  recording->replay();
  CHECK(read(*y) == Values({30, 40}) && made == 2);
  set(*weight, {5, 6});
  CHECK(read(*copy_of(*weight, tenfold(*weight))) == Values({50, 60}) && made == 3);
  recording->replay();
  CHECK(read(*y) == Values({50, 60}) && made == 3);  // somebody else has made it

  // A parameter that the work changes: its forms are part of the work, and are stale afterwards.
  TensorPtr before, after;
  recording = record(*stream, [&] {
    before = copy_of(*weight, tenfold(*weight));
    increase(*weight);
    after = copy_of(*weight, tenfold(*weight));
    increase(*weight);
  });
  for (float call = 0; call < 3; ++call) {
    const float at = 5 + 2 * call;
    CHECK(read(*before)[0] == 10 * at && read(*after)[0] == 10 * (at + 1));
    CHECK(read(*copy_of(*weight, tenfold(*weight)))[0] == 10 * (at + 2));
    recording->replay();
  }

  // A parameter that comes and goes within the work.
  recording = record(*stream, [&] {
    const TensorPtr sum = plus(*weight, 1);
    after = copy_of(*sum, tenfold(*sum));
  });
  set(*weight, {4, 4});
  recording->replay();
  CHECK(read(*after)[0] == 50);

  // Two forms that take turns in one memory.
  set(*weight, {1, 1});
  recording = record(*stream, [&] {
    before = copy_of(*weight, tenfold(*weight, "turns", 2));
    after = copy_of(*weight, tenfold(*weight, "turns", 3));
  });
  for (int call = 0; call < 2; ++call) {
    CHECK(read(*before)[0] == 2 && read(*after)[0] == 3);
    CHECK(read(*copy_of(*weight, tenfold(*weight, "turns", 2)))[0] == 2);
    recording->replay();
    CHECK(read(*copy_of(*weight, tenfold(*weight, "turns", 2)))[0] == 2);
  }
}

void check_pauses_and_errors() {
  const auto stream = std::make_shared<CpuStream>(), other = std::make_shared<CpuStream>();
  const TensorPtr count = make(stream, {1}, {0}), elsewhere = make(other, {1}, {1});
  stream->begin_recording();
  check_throws(ErrorCode::InvalidArgument, "inside of another", [&] { stream->begin_recording(); });
  float value;
  check_throws(ErrorCode::InvalidArgument, "a value is read", [&] { stream->download(*count, &value); });
  check_throws(ErrorCode::InvalidArgument, "another device", [&] { stream->receive(*elsewhere, *count); });
  {
    const PausedRecording paused(*stream);
    increase(*count);
    CHECK(read(*count) == Values{1} && !stream->recording());
  }
  increase(*count);
  const auto recording = stream->end_recording();
  recording->replay();
  CHECK(read(*count) == Values{3});
  check_throws(ErrorCode::InvalidArgument, "nothing is recorded", [&] { stream->end_recording(); });

  stream->begin_recording();
  const TensorPtr dropped = plus(*count, 1);
  stream->cancel_recording();
  CHECK(read(*dropped) == Values{4} && !stream->has_begun_recording());

  // A failure skips the rest of its replay, and nothing after it has been told.
  bool fails = false;
  const auto failing = record(*stream, [&] {
    stream->submit(
        [&fails](const ExecutionContext&) { require(!fails, ErrorCode::DeviceFailure, "as told"); });
    increase(*count);
  });
  stream->synchronize();
  fails = true;
  failing->replay();
  check_throws(ErrorCode::DeviceFailure, "as told", [&] { stream->synchronize(); });
  fails = false;
  failing->replay();
  CHECK(read(*count) == Values{5});
}

}  // namespace
}  // namespace groupconv

int main() {
  using namespace groupconv;
  check_values();
  check_layouts();
  check_memory();
  check_derived();
  check_pauses_and_errors();
  return test::report();
}
