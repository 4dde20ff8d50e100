// Captures beside other threads that make and destroy what the device is shared with.
#include <atomic>
#include <chrono>
#include <thread>

#include "cuda/cudnn/session.h"
#include "cuda/testing.h"

namespace groupconv::cuda {
namespace {

__global__ void increase(float* value) {
  if (threadIdx.x == 0) *value += 1;
}

std::unique_ptr<Engine> open_with_cudnn() {
  auto engine = open_engine(0);
  cuda_context(engine->context()).cudnn();
  return engine;
}

// Captures a kernel while another thread does `beside`, which comes to its end when the capture has.
template <class Beside>
void capture_beside(const char* what, const Beside& beside) {
  const auto engine = open_engine(0);
  auto* const value = static_cast<float*>(engine->allocate(sizeof(float)));
  std::atomic<bool> began{false};
  engine->begin_capture();
  launch(engine->context(), 1, 32, 0, increase, value);
  std::thread other([&] {
    began = true;
    beside();
  });
  while (!began) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  std::unique_ptr<Graph> graph;
  try {
    cuda_context(engine->context()).scratch(1 << 16);  // the capturing thread takes memory as it likes
    launch(engine->context(), 1, 32, 0, increase, value);
    graph = engine->end_capture();
  } catch (const Error& error) {
    CHECK_NOTE(false, std::string(what) + ": " + error.message());
  }
  other.join();
  if (graph) engine->launch(*graph);
  engine->wait(engine->record());
  engine->release(value);
  CHECK_NOTE(graph != nullptr, what);
}

void test_others_come_and_go() {
  auto leaving = open_with_cudnn();
  capture_beside("a stream ends", [&] { leaving.reset(); });
  std::unique_ptr<Engine> coming;
  capture_beside("a stream begins", [&] { coming = open_with_cudnn(); });
  coming->begin_capture();
  launch(coming->context(), 1, 32, 0, increase, static_cast<float*>(nullptr));
  auto graph = coming->end_capture();
  capture_beside("a graph goes", [&] { graph.reset(); });
  capture_beside("memory comes and goes", [&] { coming->release(coming->allocate(1 << 20)); });
  capture_beside("the host's memory comes and goes",
                 [&] { coming->release_host(coming->allocate_host(99)); });
}

// One does not wait for another one: else neither would end here.
void test_captures_side_by_side() {
  const auto engine = open_engine(0), other = open_engine(0);
  engine->begin_capture();
  std::unique_ptr<Graph> graph;
  std::thread([&] {
    other->begin_capture();
    graph = other->end_capture();
  }).join();
  CHECK(graph && engine->end_capture());
}

#ifdef GROUPCONV_EMULATED
// What comes of it: the next capture, and the stream's end.
void test_a_failed_capture_ends() {
  const auto engine = open_engine(0);
  engine->begin_capture();
  cudaStreamSynchronize(cuda_context(engine->context()).stream);
  test::check_throws(ErrorCode::DeviceFailure, "a wait during a capture", [&] { engine->end_capture(); });
  emulator::forget_failure();
  engine->begin_capture();
  CHECK(engine->end_capture() != nullptr);
}
#endif

}  // namespace
}  // namespace groupconv::cuda

static void tests() {
  groupconv::cuda::test_others_come_and_go();
  groupconv::cuda::test_captures_side_by_side();
#ifdef GROUPCONV_EMULATED
  groupconv::cuda::test_a_failed_capture_ends();
#endif
}

int main() { return groupconv::test::on_a_device(tests); }
