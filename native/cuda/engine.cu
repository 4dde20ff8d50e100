#include "cuda/engine.h"

#include <memory>
#include <utility>
#include <vector>

#include "cuda/cudnn/session.h"
#include "cuda/stopwatch.h"

namespace groupconv::cuda {
namespace {

// Memory for the kernels in flight; all of them are in order, so one block serves all.
class Scratch {
 public:
  ~Scratch() {
    cudaFree(block_);
    for (void* block : captured_blocks_) cudaFree(block);
  }
  // Blocks that are lent meanwhile are a graph's, as long as it lives.
  void begin_capture() { capturing_ = captured_ = true; }
  void end_capture() { capturing_ = false; }
  void* at_least(size_t bytes, cudaStream_t stream) {
    if (bytes > bytes_) {
      if (captured_) {
        captured_blocks_.push_back(block_);
      } else {
        check(cudaStreamSynchronize(stream), "scratch memory");
        cudaFree(block_);
      }
      captured_ = capturing_;
      block_ = nullptr;
      bytes_ = 0;
      check(cudaMalloc(&block_, bytes), "scratch memory");
      bytes_ = bytes;
    }
    return block_;
  }

 private:
  void* block_ = nullptr;
  size_t bytes_ = 0;
  bool capturing_ = false, captured_ = false;
  std::vector<void*> captured_blocks_;
};

struct EngineContext final : CudaContext {
  void* scratch(size_t bytes) const override { return memory.at_least(bytes, stream); }
  cudnn::Session* cudnn() const override {
    if (!session && cudnn::library().usable()) session = std::make_unique<cudnn::Session>(stream, device);
    return session.get();
  }
  std::string device;
  mutable Scratch memory;
  mutable std::unique_ptr<cudnn::Session> session;
};

// Page-locked memory that kernels write their findings to.
class FaultMemory {
 public:
  FaultMemory() {
    void* memory = nullptr;
    check(cudaMallocHost(&memory, sizeof(Faults)), "page-locked memory");
    faults_ = static_cast<Faults*>(memory);
    for (FaultWord& word : faults_->word) word = kNoFault;
  }
  ~FaultMemory() { cudaFreeHost(faults_); }
  Faults* get() const { return faults_; }
  // Throws what was found since it was last told.
  void tell() const {
    FaultWord& label = faults_->word[static_cast<int>(Fault::CrossEntropyLabel)];
    const FaultWord found = *static_cast<volatile FaultWord*>(&label);
    if (found == kNoFault) return;
    label = kNoFault;
    fail(ErrorCode::InvalidArgument, "crossEntropy: label ", static_cast<int32_t>(found), " of sample ",
         found >> 32, ", ", faults_->bound[static_cast<int>(Fault::CrossEntropyLabel)], " classes");
  }

 private:
  Faults* faults_;
};

struct CudaGraph final : Graph {
  ~CudaGraph() override { cudaGraphExecDestroy(executable); }
  cudaGraphExec_t executable = nullptr;
};

class CudaEngine final : public Engine {
 public:
  explicit CudaEngine(int device) : device_(device), properties_(properties_of(device)) {
    check(cudaSetDevice(device), "opening the device");
    check(cudaStreamCreateWithFlags(&context_.stream, cudaStreamNonBlocking), "stream");
    context_.device = properties_.name;
    context_.multiprocessors = properties_.multiprocessors;
    context_.capability = 10 * properties_.major + properties_.minor;
    faults_ = std::make_unique<FaultMemory>();
    context_.faults = faults_->get();
  }
  ~CudaEngine() override {
    cudaSetDevice(device_);
    cudaStreamSynchronize(context_.stream);
    context_.session.reset();
    cudaStreamDestroy(context_.stream);
  }

  const DeviceProperties& properties() const override { return properties_; }
  const ExecutionContext& context() override {
    use_device();
    return context_;
  }

  void* allocate(size_t bytes) noexcept override {
    void* block = nullptr;
    cudaSetDevice(device_);
    return cudaMalloc(&block, bytes) == cudaSuccess ? block : forget_failed_allocation();
  }
  void release(void* block) noexcept override {
    cudaSetDevice(device_);
    cudaFree(block);
  }
  void* allocate_host(size_t bytes) noexcept override {
    void* block = nullptr;
    cudaSetDevice(device_);
    return cudaMallocHost(&block, bytes) == cudaSuccess ? block : forget_failed_allocation();
  }
  void release_host(void* block) noexcept override {
    cudaSetDevice(device_);
    cudaFreeHost(block);
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
    cudaEvent_t event;
    check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming | cudaEventBlockingSync), "event");
    check(cudaEventRecord(event, context_.stream), "event");
    return event;
  }
  void wait(void* event) override {
    const auto recorded = static_cast<cudaEvent_t>(event);
    cudaSetDevice(device_);
    const cudaError_t status = cudaEventSynchronize(recorded);
    cudaEventDestroy(recorded);
    check(status, "a kernel that ran before");
    faults_->tell();
  }

  double time(const std::function<void()>& launches) override {
    use_device();
    Stopwatch stopwatch(context_.stream);
    launches();
    return stopwatch.stop();
  }

  void begin_capture() override {
    use_device();
    check(cudaStreamBeginCapture(context_.stream, cudaStreamCaptureModeRelaxed), "capture");
    context_.memory.begin_capture();
  }
  std::unique_ptr<Graph> end_capture() override {
    cudaGraph_t captured = nullptr;
    context_.memory.end_capture();
    check(cudaStreamEndCapture(context_.stream, &captured), "capture");
    auto graph = std::make_unique<CudaGraph>();
    const cudaError_t status = cudaGraphInstantiate(&graph->executable, captured, 0);
    cudaGraphDestroy(captured);
    check(status, "graph");
    return graph;
  }
  void launch(Graph& graph) override {
    use_device();
    check(cudaGraphLaunch(static_cast<CudaGraph&>(graph).executable, context_.stream), "graph");
  }

 private:
  // Whatever thread calls: else its first call would open device 0. Setting it again costs some nanoseconds.
  void use_device() { check(cudaSetDevice(device_), "device"); }
  static void* forget_failed_allocation() {
    cudaGetLastError();
    return nullptr;
  }

  const int device_;
  const DeviceProperties properties_;
  std::unique_ptr<FaultMemory> faults_;
  EngineContext context_;
};

}  // namespace

DeviceProperties properties_of(int device) {
  cudaDeviceProp found;
  check(cudaGetDeviceProperties(&found, device), "properties");
  return {found.name, found.major, found.minor, found.multiProcessorCount, found.totalGlobalMem};
}

std::unique_ptr<Engine> open_engine(int device) { return std::make_unique<CudaEngine>(device); }

}  // namespace groupconv::cuda
