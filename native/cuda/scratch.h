// Device memory for the kernels of one stream while they run.
#pragma once
#include <memory>
#include <utility>
#include <vector>

#include "cuda/engine.h"

namespace groupconv::cuda {

class DeviceBlock {
 public:
  DeviceBlock(int device, void* data, size_t bytes) : bytes(bytes), data(data), device_(device) {}
  ~DeviceBlock() {
    cudaSetDevice(device_);
    cudaFree(data);
  }
  DeviceBlock(const DeviceBlock&) = delete;
  const size_t bytes;
  void* const data;

 private:
  const int device_;
};
using DeviceBlocks = std::vector<std::shared_ptr<DeviceBlock>>;

// Memory for the kernels in flight; all of them are in order, so one block serves all. Blocks that are lent
// during a capture are also the graph's, and live as long as it does.
class Scratch {
 public:
  void begin_capture() {
    capturing_ = true;
    if (block_) captured_.push_back(block_);
  }
  DeviceBlocks end_capture() {
    capturing_ = false;
    return std::exchange(captured_, {});
  }
  bool is_capturing() const { return capturing_; }
  // How many bytes are free now. Not during a capture, and once what uses them has run.
  size_t give_back() {
    if (!block_ || block_.use_count() > 1) return 0;  // none, or a graph's, too
    const size_t bytes = block_->bytes;
    block_.reset();
    return bytes;
  }
  void* at_least(size_t bytes, const CudaContext& context) {
    if (!block_ || bytes > block_->bytes) {
      if (block_ && !capturing_) check(cudaStreamSynchronize(context.stream), "scratch memory");
      block_.reset();
      void* const data = context.allocate(bytes);
      if (!data) check(cudaErrorMemoryAllocation, "scratch memory");
      block_ = std::make_shared<DeviceBlock>(context.device, data, bytes);
      if (capturing_) captured_.push_back(block_);
    }
    return block_->data;
  }

 private:
  std::shared_ptr<DeviceBlock> block_;
  bool capturing_ = false;
  DeviceBlocks captured_;
};

}  // namespace groupconv::cuda
