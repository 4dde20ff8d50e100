// The CPU device: the stream's order, errors and memory, tensors' layouts and derived forms, the worker pool.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include "core/check.h"
#include "core/tensor.h"
#include "cpu/context.h"
#include "cpu/isa.h"
#include "cpu/limits.h"
#include "cpu/pool.h"
#include "cpu/stream.h"

namespace groupconv {
namespace {

using test::hashed_values;

void test_order_and_waiting() {
  CpuStream stream;
  std::vector<int> order;
  for (int i = 0; i < 10000; ++i)  // more than the queue holds: the producer is slowed, nothing is lost
    stream.submit([&order, i](const ExecutionContext&) { order.push_back(i); });
  stream.synchronize();
  bool sorted = order.size() == 10000;
  for (size_t i = 0; i < order.size(); ++i) sorted = sorted && order[i] == static_cast<int>(i);
  CHECK(sorted);
}

// Pauses of every length: work comes while the thread runs, spins, falls asleep and sleeps.
void test_nobody_waits_for_ever() {
  CpuStream stream;
  int ran = 0;
  for (int i = 0; i < 3000; ++i) {
    stream.submit([&](const ExecutionContext&) { ++ran; });
    if (i % 3) stream.synchronize();
    const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(i % 100);
    while (std::chrono::steady_clock::now() < end) continue;
  }
  stream.drain();
  CHECK(ran == 3000);
}

void test_host_bytes_are_bounded() {
  CpuStream stream;
  std::atomic<int> held{0}, most{0};
  struct Counted {
    std::atomic<int>* held;
    explicit Counted(std::atomic<int>& held) : held(&held) { ++held; }
    ~Counted() { --*held; }
  };
  for (int i = 0; i < 64; ++i) {
    auto counted = std::make_unique<Counted>(held);
    stream.submit(
        [counted = std::move(counted)](const ExecutionContext&) {
          std::this_thread::sleep_for(std::chrono::microseconds(200));
        },
        size_t{32} << 20);
    most = std::max(most.load(), held.load());
  }
  stream.synchronize();
  CHECK(held == 0);
  CHECK(most <= 10);  // 256 MiB of 32 MiB, the one that runs and the one that waits
}

void test_first_error_is_told_once() {
  CpuStream stream;
  int ran = 0;
  stream.submit([](const ExecutionContext&) { fail(ErrorCode::InvalidArgument, "first"); });
  stream.submit([&](const ExecutionContext&) { ++ran; });
  stream.submit([](const ExecutionContext&) { fail(ErrorCode::DeviceFailure, "second"); });
  std::string told;
  try {
    stream.synchronize();
  } catch (const Error& error) {
    told = error.message();
  }
  CHECK(told == "first" && ran == 0);  // what followed the failure was skipped
  stream.submit([&](const ExecutionContext&) { ++ran; });
  stream.synchronize();
  CHECK(ran == 1);
  stream.submit([](const ExecutionContext&) { throw std::bad_alloc(); });
  std::atomic<int> notified{0};
  stream.notify(
      [&](const Error* error) { notified = error && error->code() == ErrorCode::OutOfMemory ? 1 : 2; });
  stream.notify([&](const Error* error) { notified = notified == 1 && !error ? 3 : 4; });
  stream.synchronize();
  CHECK(notified == 3);
}

void test_memory_returns_in_stream_order() {
  CpuStream stream;
  void* block = stream.allocate(4096);
  int* number = static_cast<int*>(block);
  int seen = 0;
  stream.submit([=](const ExecutionContext&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    *number = 1;
  });
  stream.submit([=, &seen](const ExecutionContext&) { seen = *number; });
  stream.release(block, 4096);
  CHECK(stream.allocate(4096) == block);  // at once, although the work above has not run
  stream.submit([=](const ExecutionContext&) { *number = 2; });
  stream.synchronize();
  CHECK(seen == 1 && *number == 2);
  stream.release(block, 4096);
  bool refused = false;
  try {
    stream.allocate(memory_limit() + 1);
  } catch (const Error& error) {
    refused = error.code() == ErrorCode::OutOfMemory;
  }
  CHECK(refused);
}

void test_stop_drops_the_rest() {
  auto stream = std::make_unique<CpuStream>();
  std::atomic<int> ran{0};
  for (int i = 0; i < 100; ++i)
    stream->submit([&](const ExecutionContext&) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      ++ran;
    });
  stream->stop();
  const int after = ran;
  stream->submit([&](const ExecutionContext&) { ++ran; });
  stream->synchronize();
  CHECK(after < 100 && ran == after);
}

TensorPtr upload(const std::shared_ptr<Stream>& stream, const Shape& shape,
                 const std::vector<float>& values) {
  auto tensor = std::make_shared<Tensor>(stream, shape, DType::Float32);
  stream->upload(values.data(), *tensor);
  return tensor;
}
std::vector<float> download(const Tensor& tensor) {
  std::vector<float> values(tensor.size());
  tensor.stream().download(tensor, values.data());
  tensor.stream().synchronize();
  return values;
}

void test_layouts() {
  for (Isa isa : available_isas()) {
    force_isa(isa);
    const int width = simd_width(isa);
    const auto stream = std::make_shared<CpuStream>();
    CHECK(stream->activation_block(3) == 1 && stream->activation_block(5) == width);
    for (int channels : {5, 16, 17, 33}) {
      const Shape shape{2, channels, 3, 7};
      const std::vector<float> values = hashed_values(channels, shape.size());
      const TensorPtr tensor = upload(stream, shape, values);
      CHECK(tensor->block() == 1);
      const float* blocked = tensor->in_layout(width);
      stream->synchronize();
      bool zero = true;
      const int64_t blocks = (channels + width - 1) / width;
      for (int64_t i = 0; i < tensor->physical_size(); ++i) {
        const int64_t channel = i / (width * 21) % blocks * width + i % width;
        zero = zero && (channel < channels || blocked[i] == 0);
      }
      CHECK(tensor->block() == width && zero);
      CHECK(download(*tensor) == values);
      tensor->in_layout(1);
      CHECK(tensor->block() == 1 && download(*tensor) == values);
    }
    CHECK(stream->use.bytes == 0);
  }
}

void test_views_and_versions() {
  const auto stream = std::make_shared<CpuStream>();
  const std::vector<float> values = hashed_values(1, 48);
  const TensorPtr tensor = upload(stream, {2, 6, 2, 2}, values);
  const TensorPtr view = tensor->view({2, 24});
  CHECK(stream->use.bytes == 48 * 4);  // one memory
  const uint64_t before = tensor->version();
  CHECK(tensor->in_layout(simd_width(active_isa())) && tensor->version() == before);  // reading is no write
  CHECK(download(*view) == values);
  tensor->update_in_layout(1);
  CHECK(tensor->version() > before);

  int made = 0;
  const auto derive = [&] {
    return tensor->derived("key", Stamp({tensor.get()}), 256, [&](float*) { ++made; });
  };
  const float* first = derive();
  CHECK(derive() == first && made == 1);
  CHECK(stream->use.derived_bytes == 256);
  tensor->touch();
  CHECK(stream->use.derived_bytes == 0);  // what is stale makes room
  CHECK(derive() && made == 2);
  CHECK(stream->use.derived_bytes == 256);
}

void test_pool() {
  for (int threads : {1, 2, 5}) {
    std::vector<int> hits(1000);
    parallel_for(CpuContext(threads), 1000, [&](int64_t i) { ++hits[i]; });
    bool once = true;
    for (int count : hits) once = once && count == 1;
    CHECK(once);
    std::atomic<int> sum{0};
    parallel(CpuContext(threads), [&](int thread, int of) { sum += of == threads && thread < of; });
    CHECK(sum == threads);
  }
  // Regions so short that workers come too late for some of them, and enter the next ones.
  std::atomic<int> parts[5] = {};
  for (int i = 0; i < 3000; ++i)
    parallel(CpuContext(2 + i % 4), [&](int part, int of) { parts[part] += of == 2 + i % 4; });
  CHECK(parts[0] == 3000 && parts[1] == 3000 && parts[2] == 2250 && parts[3] == 1500 && parts[4] == 750);
  // Streams of several environments share the pool; a region that finds it busy runs alone.
  std::vector<std::thread> users;
  std::atomic<int64_t> total{0};
  for (int user = 0; user < 4; ++user)
    users.emplace_back([&] {
      for (int i = 0; i < 500; ++i) parallel_for(CpuContext(3), 10, [&](int64_t j) { total += j; });
    });
  for (std::thread& user : users) user.join();
  CHECK(total == 4 * 500 * 45);
  CHECK(thread_count() >= 1);
  bool refused = false;
  try {
    set_thread_count(0);
  } catch (const Error& error) {
    refused = error.code() == ErrorCode::InvalidArgument;
  }
  CHECK(refused);
}

// Memory that is filled with a pattern, and work that is timed.
void test_timing() {
  CpuStream stream;
  std::vector<float> filled(10, 7.0f);
  const std::vector<float> pattern{1, 2, 3};
  std::vector<char> bytes(12);
  std::memcpy(bytes.data(), pattern.data(), bytes.size());
  stream.tile(bytes, filled.data(), 8 * sizeof(float));
  stream.synchronize();
  CHECK((filled == std::vector<float>{1, 2, 3, 1, 2, 3, 1, 2, 7, 7}));

  int runs = 0;
  const std::vector<double> seconds = stream.time(
      [&](const ExecutionContext&) {
        ++runs;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      },
      0);
  CHECK(seconds.size() == 5 && runs == 7 && seconds.front() >= 1e-3);
  CHECK(std::is_sorted(seconds.begin(), seconds.end()));
  test::check_throws(ErrorCode::Unsupported, "not here", [&] {
    stream.time([](const ExecutionContext&) { fail(ErrorCode::Unsupported, "not here"); }, 0);
  });
  stream.synchronize();  // told to the caller alone
  stream.submit([](const ExecutionContext&) { fail(ErrorCode::DeviceFailure, "earlier"); });
  CHECK(stream.time([](const ExecutionContext&) {}, 0).empty());
  test::check_throws(ErrorCode::DeviceFailure, "earlier", [&] { stream.synchronize(); });
}

}  // namespace
}  // namespace groupconv

int main() {
  using namespace groupconv;
  test_order_and_waiting();
  test_nobody_waits_for_ever();
  test_host_bytes_are_bounded();
  test_first_error_is_told_once();
  test_memory_returns_in_stream_order();
  test_stop_drops_the_rest();
  test_layouts();
  test_views_and_versions();
  test_pool();
  test_timing();
  return test::report();
}
