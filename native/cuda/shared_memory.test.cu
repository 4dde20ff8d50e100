// Kernels with more shared memory than they may have unasked, on several threads and devices.
#include <thread>

#include "cuda/testing.h"

namespace groupconv::cuda {
namespace {

constexpr size_t kKilo = 1024, kMuch = 96 * kKilo, kLess = 52 * kKilo;

__global__ void touch(size_t bytes) { shared_memory<unsigned char>()[bytes - 1 - threadIdx.x] = 1; }
__global__ void touch_alone(size_t bytes) { shared_memory<unsigned char>()[bytes - 1 - threadIdx.x] = 2; }

size_t allowed_for(void (*kernel)(size_t)) {
  cudaFuncAttributes attributes;
  check(cudaFuncGetAttributes(&attributes, kernel), "attributes");
  return static_cast<size_t>(attributes.maxDynamicSharedSizeBytes);
}

void test_what_is_allowed_only_grows() {
  const auto engine = open_engine(0);
  for (const size_t bytes : {kLess, kMuch, kLess, kKilo})
    launch(engine->context(), 1, 32, bytes, touch_alone, bytes);
  CHECK(allowed_for(touch_alone) == kMuch);
  engine->wait(engine->record());
}

// Two programs' threads that launch the same kernel: neither takes from the other what it was just allowed.
void test_threads_do_not_disturb_one_another() {
  const auto launches = [](size_t bytes) {
    const auto engine = open_engine(0);
    try {
      for (int i = 0; i < 2000; ++i) launch(engine->context(), 1, 32, bytes, touch, bytes);
      engine->wait(engine->record());
    } catch (const Error& error) {
      CHECK_NOTE(false, error.message());
    }
  };
  std::thread other([&] { launches(kLess); });
  launches(kMuch);
  other.join();
}

// What one of them allows, the next has to allow itself.
void test_devices_are_asked_each() {
  int devices = 0;
  check(cudaGetDeviceCount(&devices), "devices");
  for (int device = 0; device < devices; ++device) {
    const auto engine = open_engine(device);
    launch(engine->context(), 1, 32, kMuch, touch, kMuch);
    engine->wait(engine->record());
  }
}

}  // namespace
}  // namespace groupconv::cuda

int main() {
  using namespace groupconv::cuda;
#ifdef GROUPCONV_EMULATED
  setenv("GROUPCONV_EMULATED_DEVICES", "2", 1);
#endif
  return groupconv::test::on_a_device([] {
    test_threads_do_not_disturb_one_another();
    test_what_is_allowed_only_grows();
    test_devices_are_asked_each();
  });
}
