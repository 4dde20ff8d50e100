// Transfers beyond the page-locked memory that there is, and what gives device memory back.
#include <cstring>
#include <future>
#include <thread>

#include "cuda/testing.h"

#ifdef GROUPCONV_EMULATED
#include "cuda/emulator/control.h"
#endif

namespace groupconv::cuda {
namespace {

using test::check_throws;
using test::download;
using test::hashed_values;
using test::upload;
using test::Values;

// More than there is page-locked memory, piece by piece.
void test_large_transfers() {
  const Staging small{4096, 16384};
  const auto stream = std::make_shared<CudaStream>(0, open_engine(0), small);
  const auto other = std::make_shared<CudaStream>(0, open_engine(0), small);
  for (const int64_t size : {1, 1024, 1025, 2048, 2049, 50001}) {
    const Values values = hashed_values(5, static_cast<size_t>(size));
    const TensorPtr tensor = upload(stream, {1, size, 1, 1}, values);
    CHECK(download(*tensor) == values);
    tensor->in_layout(static_cast<int>(size));
    CHECK(download(*tensor) == values);
    Tensor there(other, {1, size, 1, 1}, DType::Float32);
    other->receive(*tensor, there);
    CHECK(download(there) == values);
    // Nobody waits for pieces that never go.
    stream->submit([](const ExecutionContext&) { fail(ErrorCode::DeviceFailure, "lost"); });
    upload(stream, {size}, values);
    check_throws(ErrorCode::DeviceFailure, "lost", [&] { download(*tensor); });
  }
}

#ifdef GROUPCONV_EMULATED
// Memory that the stream keeps for reuse is as good as free; but not what queued work will use.
void test_kept_blocks_make_room() {
  const auto stream = std::make_shared<CudaStream>(0, open_engine(0));
  constexpr size_t kBytes = size_t{1} << 20;
  const auto take_scratch = [&](size_t bytes) {
    return [=](const ExecutionContext& context) { cuda_context(context).scratch(bytes); };
  };
  stream->release(stream->allocate(kBytes), kBytes);
  emulator::set_memory(emulator::memory_in_use() + kBytes / 2);
  stream->submit(take_scratch(kBytes));
  stream->synchronize();
  CHECK(stream->reserved_bytes() == 0);

  emulator::set_memory(emulator::memory_in_use() + kBytes);
  void* const block = stream->allocate(kBytes);
  std::promise<void> queued;
  stream->submit([&](const ExecutionContext& context) {
    queued.get_future().wait();
    take_scratch(2 * kBytes)(context);
  });
  stream->submit([&](const ExecutionContext&) { std::memset(block, 1, kBytes); });
  stream->release(block, kBytes);
  queued.set_value();
  check_throws(ErrorCode::OutOfMemory, "scratch memory", [&] { stream->synchronize(); });
  CHECK(stream->reserved_bytes() == kBytes);
  emulator::set_memory(~size_t{0});
}

// Neither what solvers had for their work, some of which ask for very much: tensors need it more, and so do
// other solvers.
void test_scratch_makes_room() {
  const auto stream = std::make_shared<CudaStream>(0, open_engine(0));
  constexpr size_t kBytes = size_t{8} << 20;
  const auto scratch = [&](size_t bytes) {
    stream->submit([=](const ExecutionContext& context) { cuda_context(context).scratch(bytes); });
    stream->synchronize();
  };
  scratch(kBytes);
  emulator::set_memory(emulator::memory_in_use() + kBytes / 2);
  void* const block = stream->allocate(kBytes);
  CHECK(block != nullptr);
  stream->release(block, kBytes);
  scratch(kBytes);  // from what the stream keeps
  stream->submit([=](const ExecutionContext& context) {
    const CudaContext& there = cuda_context(context);
    CHECK(there.make_room() == kBytes && there.make_room() == 0);
  });
  stream->synchronize();
  emulator::set_memory(~size_t{0});
}

// A recording that holds much asks for more than it needs, and is content with that.
void test_a_recording_takes_what_there_is() {
  const auto stream = std::make_shared<CudaStream>(0, open_engine(0));
  constexpr size_t kMega = size_t{1} << 20;
  stream->begin_recording();
  void* const large = stream->allocate(40 * kMega);
  emulator::set_memory(emulator::memory_in_use() + 3 * kMega);
  void* const small = stream->allocate(kMega);
  CHECK(small != nullptr);
  check_throws(ErrorCode::OutOfMemory, "capture: no memory for 5242880 bytes",
               [&] { stream->allocate(5 * kMega); });
  stream->release(small, kMega);
  stream->release(large, 40 * kMega);
  stream->end_recording();
  emulator::set_memory(~size_t{0});
}

// Its memory goes with it, wherever that happens.
void test_a_graph_lets_go() {
  const auto engine = open_engine(1);
  const auto scratch = [&](size_t bytes) { cuda_context(engine->context()).scratch(bytes); };
  const size_t before = emulator::memory_in_use();
  scratch(1000);
  engine->begin_capture();
  scratch(2000);
  scratch(10000);
  auto graph = engine->end_capture();
  CHECK(emulator::memory_in_use() == before + 13000);
  scratch(50000);
  emulator::forget_opened();
  std::thread([&] { graph.reset(); }).join();
  CHECK(emulator::was_opened(1) && !emulator::was_opened(0));
  CHECK(emulator::memory_in_use() == before + 50000);
}
#endif

}  // namespace
}  // namespace groupconv::cuda

static void tests() {
  using namespace groupconv::cuda;
  test_large_transfers();
#ifdef GROUPCONV_EMULATED
  test_kept_blocks_make_room();
  test_scratch_makes_room();
  test_a_recording_takes_what_there_is();
  test_a_graph_lets_go();
#endif
}

int main() { return groupconv::test::on_a_device(tests); }
