// What a failed device makes of everything that follows, and which wait tells what kernels have found. The
// emulator's device recovers, and its streams are as late as they are told to be; a GPU fails for good, so
// that is a child process's.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>

#include "cuda/testing.h"

#ifdef GROUPCONV_EMULATED
#include "cuda/emulator/control.h"
#endif

namespace groupconv::cuda {
namespace {

using test::check_throws;
using test::download;
using test::upload;
using test::Values;

std::shared_ptr<CudaStream> open() { return std::make_shared<CudaStream>(0, open_engine(0)); }

#ifdef GROUPCONV_EMULATED
__global__ void hang() {
  if (threadIdx.x == 0) __syncthreads();
  __shfl_xor_sync(0xffffffffu, 1, 1);
}

// Not "out of memory", which a program would take for its own fault.
void test_after_a_failure_everything_tells_it() {
  const auto stream = open();
  const TensorPtr there = upload(stream, {4}, Values(4, 1.0f));
  stream->synchronize();
  stream->submit([](const ExecutionContext& context) { launch(context, 1, 32, 0, hang); });
  const auto told = [&](const std::function<void()>& call) {
    check_throws(ErrorCode::DeviceFailure, "different barriers", call);
  };
  told([&] { stream->synchronize(); });
  told([&] { stream->synchronize(); });
  told([&] { stream->allocate(1 << 20); });
  told([&] { upload(stream, {1 << 20}, Values(1 << 20, 1.0f)); });
  told([&] { download(*there); });
  stream->submit([](const ExecutionContext& context) { cuda_context(context).scratch(1 << 20); });
  std::atomic<int> notified{0};
  stream->notify(
      [&](const Error* error) { notified = error && error->code() == ErrorCode::DeviceFailure ? 1 : 2; });
  told([&] { stream->synchronize(); });
  CHECK(notified == 1);
  CHECK(stream->failure().find("different barriers") != std::string::npos);
  told([&] { open(); });
  emulator::forget_failure();
  stream->synchronize();
  CHECK(stream->failure().empty());
  CHECK(download(*there) == Values(4, 1.0f));
}

#else
__global__ void write_nowhere() { *reinterpret_cast<volatile int*>(size_t{16}) = 1; }

// Nobody has waited yet when it happens.
void test_after_a_failure_everything_tells_it() {
  const auto stream = open();
  const TensorPtr there = upload(stream, {4}, Values(4, 1.0f));
  stream->synchronize();
  CHECK(stream->failure().empty());
  stream->submit([](const ExecutionContext& context) { launch(context, 1, 1, 0, write_nowhere); });
  const auto told = [&](const std::function<void()>& call) {
    check_throws(ErrorCode::DeviceFailure, "illegal memory access", call);
  };
  told([&] { stream->synchronize(); });
  told([&] {
    stream->submit([](const ExecutionContext& context) { launch(context, 1, 1, 0, write_nowhere); });
    stream->synchronize();
  });
  told([&] { stream->allocate(size_t{64} << 20); });
  told([&] { download(*there); });
  CHECK(stream->failure().find("illegal memory access") != std::string::npos);
  told([&] { open(); });
}
#endif

__global__ void find(Faults* faults, int64_t place, int32_t value, int64_t bound) {
  if (threadIdx.x == 0) report(faults, Fault::CrossEntropyLabel, place, value, bound);
}

#ifdef GROUPCONV_EMULATED
// Page-locked memory is used again only when its copy has run, whatever has gone wrong before.
void test_what_comes_after_an_error_is_waited_for() {
  const size_t events = emulator::events();
  {
    const auto stream = open();
    emulator::set_deferred(true);
    stream->submit([](const ExecutionContext& context) {
      launch(context, 1, 32, 0, find, cuda_context(context).faults(), int64_t{5}, -1, int64_t{3});
    });
    std::vector<TensorPtr> tensors;
    for (int i = 0; i < 5; ++i) {
      tensors.push_back(upload(stream, {1000}, Values(1000, static_cast<float>(i))));
      stream->drain();
    }
    Values back(1000, -7.0f);  // of a download that nobody will be told is complete
    stream->download(*tensors[0], back.data());
    check_throws(ErrorCode::InvalidArgument, "label -1 of sample 5, 3 classes",
                 [&] { stream->synchronize(); });
    CHECK(back == Values(1000, -7.0f));
    for (int i = 0; i < 5; ++i) CHECK(download(*tensors[i]) == Values(1000, static_cast<float>(i)));
    for (int i = 0; i < 5; ++i) upload(stream, {1000}, Values(1000, 1.0f));
    stream->stop();
    emulator::set_deferred(false);
  }
  CHECK(emulator::events() == events);
}

// A point that can't be marked leaves nothing behind.
void test_a_failed_point_lets_go() {
  const auto engine = open_engine(0);
  const size_t events = emulator::events(), blocks = emulator::host_blocks();
  for (int i = 0; i < 3; ++i) {
    cuda_context(engine->context()).faults();
    engine->begin_capture();
    check_throws(ErrorCode::DeviceFailure, "an event during a capture", [&] {
      cuda_context(engine->context()).faults();
      engine->record();
    });
    emulator::forget_failure();
    engine->end_capture();
  }
  CHECK(emulator::events() == events && emulator::host_blocks() <= blocks + 1);
}

#endif

// Whatever else has run by the time a point is waited for.
void test_findings_belong_to_their_point() {
  const auto engine = open_engine(0);
  const auto finds = [&](int64_t place, int32_t value, int64_t bound) {
    const ExecutionContext& context = engine->context();
    launch(context, 1, 32, 0, find, cuda_context(context).faults(), place, value, bound);
  };
  const auto told = [&](const char* what, void* point) {
    check_throws(ErrorCode::InvalidArgument, what, [&] { engine->wait(point); });
  };
#ifdef GROUPCONV_EMULATED
  emulator::set_deferred(true);
#endif
  finds(5, -1, 3);
  finds(9, 8, 4);
  void* const first = engine->record();
  finds(2, 7, 1000);
  void *const second = engine->record(), *const third = engine->record();
  told("label -1 of sample 5, 3 classes", first);
  told("label 7 of sample 2, 1000 classes", second);
  engine->wait(third);
  finds(1, 1, 1);
  engine->begin_capture();
  finds(3, 9, 6);
  const auto graph = engine->end_capture();
  told("label 1 of sample 1, 1 classes", engine->record());
  engine->wait(engine->record());
  for (int replay = 0; replay < 2; ++replay) {
    engine->launch(*graph);
    told("label 9 of sample 3, 6 classes", engine->record());
  }
#ifdef GROUPCONV_EMULATED
  emulator::set_deferred(false);
#endif
}

}  // namespace
}  // namespace groupconv::cuda

#ifdef GROUPCONV_EMULATED
static void tests() {
  using namespace groupconv::cuda;
  test_after_a_failure_everything_tells_it();
  test_what_comes_after_an_error_is_waited_for();
  test_findings_belong_to_their_point();
  test_a_failed_point_lets_go();
}

int main() { return groupconv::test::on_a_device(tests); }
#else
// A process that has met CUDA can't be divided.
int main() {
  using namespace groupconv;
  const pid_t child = fork();
  if (child == 0) {
    const int status = test::on_a_device(cuda::test_after_a_failure_everything_tells_it);
    std::fflush(stdout);
    _exit(status);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status)) return 1;
  if (WEXITSTATUS(status) != 0) return WEXITSTATUS(status);
  return test::on_a_device(cuda::test_findings_belong_to_their_point);
}
#endif
