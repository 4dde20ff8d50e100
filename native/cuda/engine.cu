#include "cuda/engine.h"

#include <functional>
#include <memory>
#include <utility>

#include "cuda/captures.h"
#include "cuda/cudnn/session.h"
#include "cuda/findings.h"
#include "cuda/scratch.h"
#include "cuda/stopwatch.h"

namespace groupconv::cuda {
namespace {

// Null where there is no memory; throws what else has failed, be it earlier and elsewhere.
void* block_or_null(cudaError_t status, void* block, const char* what) {
  if (status != cudaErrorMemoryAllocation) check(status, what);
  if (status == cudaSuccess) return block;
  cudaGetLastError();
  return nullptr;
}

struct EngineContext final : CudaContext {
  ~EngineContext() override {
    const WithoutCaptures alone(captures_of(device));
    session.close();
    memory.give_back();
    found.reset();
    if (stream) cudaStreamDestroy(stream);
  }
  Faults* faults() const override { return found->lend(); }
  void* scratch(size_t bytes) const override { return memory.at_least(bytes, *this); }
  void* allocate(size_t bytes) const override {
    for (bool again = false;; again = true) {
      void* block = nullptr;
      const cudaError_t status = cudaMalloc(&block, bytes);
      block = block_or_null(status, block, "memory");
      if (block || again || make_room() == 0) return block;
    }
  }
  size_t make_room() const override {
    if (memory.is_capturing()) return 0;
    cudaStreamSynchronize(stream);  // what has failed is told by whatever is tried next
    return memory.give_back() + (when_full ? when_full() : 0);
  }
  cudnn::Session* cudnn() const override { return session.get(*this, name, memory.is_capturing()); }
  std::string name;
  std::function<size_t()> when_full;
  std::unique_ptr<Findings> found;
  mutable Scratch memory;
  mutable cudnn::LazySession session;
};

struct CudaGraph final : Graph {
  explicit CudaGraph(int device) : device(device) {}
  ~CudaGraph() override {
    const WithoutCaptures alone(captures_of(device));
    cudaSetDevice(device);
    if (executable) cudaGraphExecDestroy(executable);
    scratch.clear();
  }
  const int device;
  cudaGraphExec_t executable = nullptr;
  bool reports = false;  // what its kernels find wrong
  DeviceBlocks scratch;
};

// What `record` returns.
struct Point {
  explicit Point(Findings& findings) : findings(findings), found(findings.collect()) {}
  ~Point() {
    if (event) cudaEventDestroy(event);
    findings.give_back(found);
  }
  Point(const Point&) = delete;
  Faults take() { return findings.give_back(std::exchange(found, nullptr)); }
  Findings& findings;
  Faults* found;  // on its way to the host; null where there is nothing to find
  cudaEvent_t event = nullptr;
};

class CudaEngine final : public Engine {
 public:
  explicit CudaEngine(int device) : device_(device), properties_(properties_of(device)) {
    check(cudaSetDevice(device), "opening the device");
    check(cudaStreamCreateWithFlags(&context_.stream, cudaStreamNonBlocking), "stream");
    context_.device = device;
    context_.name = properties_.name;
    context_.multiprocessors = properties_.multiprocessors;
    context_.capability = 10 * properties_.major + properties_.minor;
    context_.found = std::make_unique<Findings>(context_.stream);
  }
  ~CudaEngine() override {
    cudaSetDevice(device_);
    cudaStreamSynchronize(context_.stream);
  }

  const DeviceProperties& properties() const override { return properties_; }
  std::string failure() override {
    // Whatever uses the device tells it; this does so even during a capture.
    cudaEvent_t event = nullptr;
    cudaError_t status = cudaSetDevice(device_);
    if (status == cudaSuccess) status = cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
    if (status == cudaSuccess) return cudaEventDestroy(event), "";
    cudaGetLastError();
    return std::string("it has failed, and works again in a new process: ") + cudaGetErrorString(status);
  }
  const ExecutionContext& context() override {
    use_device();
    return context_;
  }

  void* allocate(size_t bytes) override {
    void* block = nullptr;
    use_device();
    const cudaError_t status = cudaMalloc(&block, bytes);
    return block_or_null(status, block, "memory");
  }
  void release(void* block) noexcept override {
    cudaSetDevice(device_);
    cudaFree(block);
  }
  void* allocate_host(size_t bytes) override {
    void* block = nullptr;
    use_device();
    const cudaError_t status = cudaMallocHost(&block, bytes);
    return block_or_null(status, block, "page-locked memory");
  }
  void release_host(void* block) noexcept override {
    cudaSetDevice(device_);
    cudaFreeHost(block);
  }
  void when_full(std::function<size_t()> make_room) override { context_.when_full = std::move(make_room); }

  void release_scratch() override {
    use_device();
    check(cudaStreamSynchronize(context_.stream), "scratch memory");
    context_.memory.give_back();
  }

  void to_device(void* to, const void* from, size_t bytes) override {
    use_device();
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, context_.stream), "copy to the device");
  }
  void to_host(void* to, const void* from, size_t bytes) override {
    use_device();
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, context_.stream), "copy to the host");
  }
  void relayout(const Shape& shape, size_t element_bytes, const void* from, int from_block, void* to,
                int to_block) override {
    use_device();
    cuda::relayout(context_, shape, element_bytes, from, from_block, to, to_block);
  }

  void* record() override {
    use_device();
    std::unique_ptr<Point> point;
    try {
      point = std::make_unique<Point>(*context_.found);
      check(cudaEventCreateWithFlags(&point->event, cudaEventDisableTiming | cudaEventBlockingSync), "event");
      check(cudaEventRecord(point->event, context_.stream), "event");
      return point.release();
    } catch (const Error&) {  // who asks for a point lets go of what is being copied, in any case
      cudaStreamSynchronize(context_.stream);
      throw;
    }
  }
  void wait(void* event) override {
    const std::unique_ptr<Point> point(static_cast<Point*>(event));
    cudaSetDevice(device_);
    const cudaError_t status = cudaEventSynchronize(point->event);
    const Faults found = point->take();
    check(status, "a kernel that ran before");
    tell(found);
  }

  double time(const std::function<void()>& launches) override {
    use_device();
    Stopwatch stopwatch(context_.stream);
    launches();
    return stopwatch.stop();
  }

  void begin_capture() override {
    use_device();
    WhileCapturing capturing(captures_of(device_));
    check(cudaStreamBeginCapture(context_.stream, cudaStreamCaptureModeRelaxed), "capture");
    capturing_ = std::move(capturing);
    context_.memory.begin_capture();
    lent_before_ = context_.found->exchange_lent(false);
  }
  std::unique_ptr<Graph> end_capture() override {
    auto graph = std::make_unique<CudaGraph>(device_);
    const WhileCapturing until_the_end(std::move(capturing_));  // and before the graph goes, should this fail
    cudaGraph_t captured = nullptr;
    graph->scratch = context_.memory.end_capture();
    graph->reports = context_.found->exchange_lent(lent_before_);
    check(cudaStreamEndCapture(context_.stream, &captured), "capture");
    const cudaError_t status = cudaGraphInstantiate(&graph->executable, captured, 0);
    cudaGraphDestroy(captured);
    check(status, "graph");
    return graph;
  }
  void launch(Graph& graph) override {
    use_device();
    const auto& captured = static_cast<CudaGraph&>(graph);
    if (captured.reports) context_.found->exchange_lent(true);
    check(cudaGraphLaunch(captured.executable, context_.stream), "graph");
  }

 private:
  // Whatever thread calls: else its first call would open device 0. Setting it again costs some nanoseconds.
  void use_device() { check(cudaSetDevice(device_), "device"); }

  const int device_;
  const DeviceProperties properties_;
  EngineContext context_;
  WhileCapturing capturing_;  // of the launching thread
  bool lent_before_ = false;  // the memory for findings, when a capture began
};

}  // namespace

DeviceProperties properties_of(int device) {
  cudaDeviceProp found;
  check(cudaGetDeviceProperties(&found, device), "properties");
  return {found.name, found.major, found.minor, found.multiProcessorCount, found.totalGlobalMem, ""};
}

std::unique_ptr<Engine> open_engine(int device) { return std::make_unique<CudaEngine>(device); }

}  // namespace groupconv::cuda
