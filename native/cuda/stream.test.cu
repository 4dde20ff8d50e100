// The CUDA device: data come and go in order, layouts, errors are told once, memory is reused and given back.
#include "cuda/stream.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include "core/check.h"
#include "core/recording.h"
#include "core/tensor.h"
#include "cuda/device.testing.h"
#include "cuda/engine.h"
#include "cuda/launch.h"

namespace groupconv::cuda {
namespace {

using test::hashed_values;
using Values = std::vector<float>;

std::shared_ptr<CudaStream> open() { return std::make_shared<CudaStream>(0, open_engine(0)); }

TensorPtr upload(const std::shared_ptr<CudaStream>& stream, const Shape& shape, const Values& values) {
  auto tensor = std::make_shared<Tensor>(stream, shape, DType::Float32);
  stream->upload(values.data(), *tensor);
  return tensor;
}
Values download(const Tensor& tensor) {
  Values values(static_cast<size_t>(tensor.size()));
  tensor.stream().download(tensor, values.data());
  tensor.stream().synchronize();
  return values;
}

__global__ void set_all(float value, int64_t size, float* values) {
  GROUPCONV_GRID_STRIDE(i, size) values[i] = value;
}
__global__ void add_to_all(float addend, int64_t size, float* values) {
  GROUPCONV_GRID_STRIDE(i, size) values[i] += addend;
}

void test_data() {
  const auto stream = open();
  Values values = hashed_values(3, 1000);
  const TensorPtr tensor = upload(stream, {1000}, values);
  values.assign(values.size(), 0);  // the host's array was read before upload returned
  for (int i = 0; i < 3; ++i)
    stream->submit([data = tensor->update_in_layout(1)](const ExecutionContext& context) {
      launch(context, grid_for(context, 1000), kThreads, 0, add_to_all, 1.0f, int64_t{1000}, data);
    });
  Values expected = hashed_values(3, 1000);
  for (float& value : expected) value = value + 1 + 1 + 1;
  CHECK(download(*tensor) == expected);
}

void test_layouts() {
  const auto stream = open();
  for (const Shape& shape : {Shape{2, 3, 5, 7}, Shape{1, 64, 4, 9}, Shape{3, 33, 1, 40}, Shape{2, 8, 1, 1}}) {
    const Values values = hashed_values(4, static_cast<size_t>(shape.size()));
    const TensorPtr tensor = upload(stream, shape, values);
    CHECK(tensor->activation_block() == shape[1]);
    tensor->in_layout(tensor->activation_block());
    CHECK(tensor->block() == shape[1]);
    CHECK(download(*tensor) == values);  // read from N H W C
    const float* channels_last = tensor->in_layout(static_cast<int>(shape[1]));
    Values raw(values.size());
    stream->submit([&, channels_last](const ExecutionContext&) {
      cudaMemcpyAsync(raw.data(), channels_last, raw.size() * 4, cudaMemcpyDeviceToHost, nullptr);
    });
    stream->synchronize();
    bool right = true;
    const int64_t pixels = shape[2] * shape[3];
    for (int64_t n = 0; n < shape[0]; ++n)
      for (int64_t c = 0; c < shape[1]; ++c)
        for (int64_t i = 0; i < pixels; ++i)
          right = right && raw[(n * pixels + i) * shape[1] + c] == values[(n * shape[1] + c) * pixels + i];
    CHECK(right);
    tensor->in_layout(1);
    CHECK(download(*tensor) == values);
  }
}

void test_errors() {
  const auto stream = open();
  int ran = 0;
  stream->submit([](const ExecutionContext&) { fail(ErrorCode::InvalidArgument, "first"); });
  stream->submit([&](const ExecutionContext&) { ++ran; });
  test::check_throws(ErrorCode::InvalidArgument, "first", [&] { stream->synchronize(); });
  CHECK(ran == 0);
  stream->synchronize();  // told once
  std::atomic<int> told{0};
  stream->submit([](const ExecutionContext&) { fail(ErrorCode::DeviceFailure, "second"); });
  stream->notify([&](const Error* error) { told = error && error->message() == "second" ? 1 : 2; });
  stream->drain();
  stream->synchronize();
  CHECK(told == 1);
}

#ifdef GROUPCONV_EMULATED  // on a GPU such a failure lasts until the process ends
__global__ void hang() {
  if (threadIdx.x == 0) __syncthreads();
  __shfl_xor_sync(0xffffffffu, 1, 1);
}

void test_a_failed_kernel_is_told() {
  const auto stream = open();
  stream->submit([](const ExecutionContext& context) { launch(context, 1, 32, 0, hang); });
  test::check_throws(ErrorCode::DeviceFailure, "different barriers", [&] { stream->synchronize(); });
  emulator::forget_failure();
  stream->synchronize();
}

#endif

void test_notify_comes_last() {
  const auto stream = open();
  std::atomic<bool> done{false}, early{false};
  const TensorPtr tensor = upload(stream, {1 << 20}, Values(1 << 20, 1.0f));
  Values back(1 << 20);
  stream->submit([](const ExecutionContext&) { std::this_thread::sleep_for(std::chrono::milliseconds(20)); });
  stream->download(*tensor, back.data());
  stream->notify([&](const Error*) {
    early = back[(1 << 20) - 1] != 1.0f;
    done = true;
  });
  CHECK(!done);
  stream->synchronize();
  CHECK(done && !early);
}

void test_memory() {
  const auto stream = open();
  void* first = stream->allocate(1000);
  stream->release(first, 1000);
  CHECK(stream->allocate(1000) == first);
  stream->release(first, 1000);
  const size_t reserved = stream->reserved_bytes();
  for (int i = 0; i < 100; ++i) upload(stream, {300}, Values(300, 1.0f));
  stream->synchronize();
  CHECK(stream->reserved_bytes() < reserved + 4096 * 100 && stream->use.bytes == 0);
  test::check_throws(ErrorCode::OutOfMemory, "no memory", [&] { stream->allocate(size_t{1} << 50); });
  CHECK(stream->reserved_bytes() == 0);  // the attempt gave everything back
}

// From one stream to another and back, while both go on.
void test_between_streams() {
  const auto first = open(), second = open();
  for (int round = 0; round < 20; ++round) {
    const Values values = hashed_values(static_cast<uint32_t>(round), 512);
    const TensorPtr here = upload(first, {512}, values);
    Tensor there(second, {512}, DType::Float32), back(first, {512}, DType::Float32);
    second->receive(*here, there);
    first->receive(there, back);
    CHECK(download(back) == values);
  }
  const TensorPtr lost = upload(first, {4}, Values(4, 1.0f));
  first->submit([](const ExecutionContext&) { fail(ErrorCode::DeviceFailure, "lost"); });
  Tensor never(second, {4}, DType::Float32);
  second->receive(*lost, never);
  test::check_throws(ErrorCode::DeviceFailure, "lost", [&] { second->synchronize(); });
}

// Recorded work becomes a graph: with what it uploads, on memory that others don't get meanwhile.
void test_recording() {
  const auto stream = open();
  const auto add = [&](Tensor& tensor, float addend) {
    stream->submit([=, size = tensor.size(), data = tensor.update_in_layout(1)](const ExecutionContext& c) {
      launch(c, grid_for(c, size), kThreads, 0, add_to_all, addend, size, data);
    });
  };
  const TensorPtr count = upload(stream, {5}, Values(5, 0.0f));
  TensorPtr made;
  stream->begin_recording();
  made = upload(stream, {5}, Values(5, 10.0f));
  add(*made, 1);
  add(*count, 1);
  std::shared_ptr<Recording> recording = stream->end_recording();
  CHECK(download(*count) == Values(5, 1.0f) && download(*made) == Values(5, 11.0f));
  for (int call = 2; call < 5; ++call) {
    add(*made, 100);  // undone by the upload
    upload(stream, {5}, Values(5, 7.0f));
    recording->replay();
    CHECK(download(*count) == Values(5, static_cast<float>(call)) && download(*made) == Values(5, 11.0f));
  }
  recording->replay();
  recording.reset();  // the queue has it still
  CHECK(download(*count) == Values(5, 5.0f));

  // A capture that fails leaves the queue usable.
  bool fails = false;
  stream->begin_recording();
  stream->submit(
      [&](const ExecutionContext&) { require(!fails, ErrorCode::InvalidArgument, "not this time"); });
  add(*count, 1);
  recording = stream->end_recording();
  stream->synchronize();
  fails = true;
  recording->replay();
  test::check_throws(ErrorCode::InvalidArgument, "not this time", [&] { stream->synchronize(); });
  fails = false;
  recording->replay();
  CHECK(download(*count) == Values(5, 7.0f));
}

// Nothing may be waited for or given back while work is captured, however often it needs more.
void test_scratch_of_a_capture() {
  const auto engine = open_engine(0);
  const auto scratch = [&](size_t floats) {
    return static_cast<float*>(cuda_context(engine->context()).scratch(floats * sizeof(float)));
  };
  const auto set = [&](float* target, float value) {
    launch(engine->context(), 1, kThreads, 0, set_all, value, int64_t{100}, target);
  };
  std::vector<float> found(100);
  const auto read = [&](const float* from) {
    engine->to_host(found.data(), from, found.size() * sizeof(float));
    engine->wait(engine->record());
    return found;
  };
  scratch(100);
  engine->begin_capture();
  float* const small = scratch(1000);
  set(small, 1);
  float* const large = scratch(100000);
  set(large, 2);
  const auto graph = engine->end_capture();
  scratch(10000000);  // those of the graph stay
  engine->launch(*graph);
  CHECK(read(small) == Values(100, 1.0f) && read(large) == Values(100, 2.0f));
}

// A call that fails does not make the next launch fail.
void test_a_failed_call_is_told_once() {
  const auto engine = open_engine(0);
  const ExecutionContext& context = engine->context();
  test::check_throws(ErrorCode::OutOfMemory, "scratch",
                     [&] { cuda_context(context).scratch(size_t{1} << 60); });
  auto* const values = static_cast<float*>(engine->allocate(400));
  launch(context, 1, kThreads, 0, set_all, 3.0f, int64_t{100}, values);
  CHECK(!engine->allocate(size_t{1} << 60));
  launch(context, 1, kThreads, 0, set_all, 3.0f, int64_t{100}, values);
  engine->wait(engine->record());
  engine->release(values);
}

#ifdef GROUPCONV_EMULATED
// A thread that has not met the device yet must not open the first one instead.
void test_the_second_device_alone_is_opened() {
  const auto engine = open_engine(1);
  emulator::forget_opened();
  void *const host = engine->allocate_host(64), *const event = engine->record();
  for (const std::function<void()>& call : std::initializer_list<std::function<void()>>{
           [&] { engine->release_host(engine->allocate_host(64)); },
           [&] { engine->release(engine->allocate(64)); }, [&] { engine->release_host(host); },
           [&] { engine->wait(event); }})
    std::thread(call).join();
  CHECK(emulator::was_opened(1) && !emulator::was_opened(0));
}

// Of sizes that the emulator can't compute, at least the grids.
void test_large_layouts() {
  const auto engine = open_engine(0);
  emulator::only_checked = true;
  for (const Shape& shape : {Shape{1, 3, 4096, 4096}, Shape{70000, 2, 1, 1}, Shape{1, 3000000, 2, 2}})
    for (const bool to_channels_last : {false, true}) {
      const int block = static_cast<int>(shape[1]);
      relayout(engine->context(), shape, 2, nullptr, to_channels_last ? 1 : block, nullptr,
               to_channels_last ? block : 1);
    }
  emulator::only_checked = false;
}
#endif

void test_stop() {
  const auto stream = open();
  for (int i = 0; i < 100; ++i)
    stream->submit(
        [](const ExecutionContext&) { std::this_thread::sleep_for(std::chrono::microseconds(100)); });
  stream->stop();
  stream->submit([](const ExecutionContext&) {});
  stream->synchronize();  // nothing will come: it returns
  CHECK(true);
}

// Memory that is filled with a pattern, and work that is timed by the device's clock.
void test_timing() {
  const auto stream = open();
  const Values pattern = hashed_values(5, 300);
  std::vector<char> bytes(pattern.size() * sizeof(float));
  std::memcpy(bytes.data(), pattern.data(), bytes.size());
  const TensorPtr tensor = upload(stream, {1000}, Values(1000, 7.0f));
  float* const data = tensor->update_in_layout(1);
  stream->tile(bytes, data, 990 * sizeof(float));
  Values expected(1000, 7.0f);
  for (size_t i = 0; i < 990; ++i) expected[i] = pattern[i % pattern.size()];
  CHECK(download(*tensor) == expected);

  int runs = 0;
  const std::vector<double> seconds = stream->time(
      [&](const ExecutionContext& context) {
        ++runs;
        launch(context, grid_for(context, 1000), kThreads, 0, add_to_all, 1.0f, int64_t{1000}, data);
      },
      0);
  CHECK(seconds.size() >= 5 && seconds.front() > 0 && runs >= 7);
  CHECK(std::is_sorted(seconds.begin(), seconds.end()));
  CHECK(download(*tensor)[999] == 7.0f + static_cast<float>(runs));
  test::check_throws(ErrorCode::Unsupported, "not here", [&] {
    stream->time([](const ExecutionContext&) { fail(ErrorCode::Unsupported, "not here"); }, 0);
  });
  stream->synchronize();  // told to the caller alone
}

// A stream that waits for another one which is stopped does not wait for ever.
void test_stop_of_a_source() {
  const auto first = open(), second = open();
  const TensorPtr here = upload(first, {4}, Values(4, 1.0f));
  first->submit([](const ExecutionContext&) { std::this_thread::sleep_for(std::chrono::milliseconds(20)); });
  Tensor there(second, {4}, DType::Float32);
  second->receive(*here, there);
  first->stop();
  test::check_throws(ErrorCode::DeviceFailure, "", [&] { second->synchronize(); });
}

}  // namespace
}  // namespace groupconv::cuda

static void tests() {
  using namespace groupconv::cuda;
  test_data();
  test_layouts();
  test_errors();
#ifdef GROUPCONV_EMULATED
  test_a_failed_kernel_is_told();
#endif
  test_notify_comes_last();
  test_memory();
  test_between_streams();
  test_recording();
  test_scratch_of_a_capture();
  test_a_failed_call_is_told_once();
#ifdef GROUPCONV_EMULATED
  test_the_second_device_alone_is_opened();
  test_large_layouts();
#endif
  test_timing();
  test_stop();
  test_stop_of_a_source();
}

int main() { return groupconv::test::on_a_device(tests); }
