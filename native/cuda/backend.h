// What the CUDA library gives the addon: plain data and one abstract class behind one C function. The addon
// is built without CUDA and opens the library on demand. Both are made from the same headers by the same
// compiler, which kBackendVersion and the sizes of problems and buffers vouch for.
#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "core/error.h"
#include "core/shape.h"
#include "core/solver.h"

namespace groupconv::cuda {

constexpr int kBackendVersion = 5;

struct Settings;

struct DeviceProperties {
  std::string name;  // "NVIDIA H100 80GB HBM3"
  int major, minor;  // compute capability
  int multiprocessors;
  size_t memory_bytes;
  std::string reason;  // why it can't be used; empty where it can
};

// What the library found on this machine. Looking does not initialise a device.
struct Discovery {
  std::string reason;           // why no device can be used, in words; empty where one can
  std::string runtime, driver;  // versions: "13.0"; empty where there is none
  std::string cudnn, cudnn_path;
  std::vector<DeviceProperties> devices;
};

// A captured piece of work that can be run again (a CUDA graph).
class Graph {
 public:
  virtual ~Graph() = default;
};

// One device with its in-order queue. All but `record`, `wait` and the memory functions is called on the
// stream's launching thread alone. Functions throw DEVICE_FAILURE with the runtime's words; a failure of work
// that was launched earlier comes out of the next `wait`, and of every later call.
class Engine {
 public:
  virtual ~Engine() = default;
  virtual const DeviceProperties& properties() const = 0;
  // What has failed for good, in words; empty where nothing has. Any thread.
  virtual std::string failure() = 0;
  // What solvers run with.
  virtual const ExecutionContext& context() = 0;

  // Device memory, and page-locked host memory; null when there is none left. Any thread.
  virtual void* allocate(size_t bytes) = 0;
  virtual void release(void* block) noexcept = 0;
  virtual void* allocate_host(size_t bytes) = 0;
  virtual void release_host(void* block) noexcept = 0;
  // What gives back device memory that is kept for reuse, and says how many bytes: called on the launching
  // thread where solvers need more than there is left. The blocks may be in use by what was launched before.
  virtual void when_full(std::function<size_t()> make_room) = 0;

  // Gives back what solvers had for their work, when that is done. On the launching thread.
  virtual void release_scratch() = 0;

  // In order; page-locked host memory must live until the copy is done.
  virtual void to_device(void* to, const void* from, size_t bytes) = 0;
  virtual void to_host(void* to, const void* from, size_t bytes) = 0;
  // Between N C H W (block 1) and N H W C (block C), for elements of 2 or 4 bytes.
  virtual void relayout(const Shape& shape, size_t element_bytes, const void* from, int from_block, void* to,
                        int to_block) = 0;

  // A point in the queue; `wait` blocks until the device has reached it, and frees it. It also throws what
  // kernels have found wrong with values between the point before and this one (INVALID_ARGUMENT).
  virtual void* record() = 0;
  virtual void wait(void* event) = 0;

  // Seconds between the start and the end of what `launches` launches. Waits for them.
  virtual double time(const std::function<void()>& launches) = 0;

  // What is launched between the two is not run but kept.
  virtual void begin_capture() = 0;
  virtual std::unique_ptr<Graph> end_capture() = 0;
  virtual void launch(Graph& graph) = 0;
};

// One operator's solvers on CUDA, in order of preference: pointers to Solver<Problem, Buffers>.
struct SolverOffer {
  const char* op;
  std::vector<const void*> solvers;
  size_t problem_bytes, buffers_bytes;
};

struct Backend {
  int version;       // kBackendVersion of its headers
  const char* kind;  // "CUDA", or "emulated": on the host, for tests
  const std::vector<SolverOffer>& (*solvers)();
  const Discovery& (*discover)();
  // Why convolutions on a device do without the cuDNN that was found; empty where they need not. Any thread.
  std::string (*why_without_cudnn)(int device);
  // DEVICE_UNAVAILABLE where `discover` has a reason or no such device, or where the device can't be opened.
  std::unique_ptr<Engine> (*open)(int device);
  // The addon's settings, which the library reads from now on.
  void (*attach)(const Settings& settings);
};

// The library's one exported function.
using BackendFunction = const Backend* (*)();
constexpr const char* kBackendFunction = "groupconv_cuda_backend";

}  // namespace groupconv::cuda
