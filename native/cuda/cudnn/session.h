// One device's use of cuDNN: its handle, and what was prepared on it.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cuda/cudnn/recipes.h"

namespace groupconv::cuda::cudnn {

// A convolution ready to run.
struct Prepared {
  std::shared_ptr<const Assembly> assembly;
  std::unique_ptr<Plan> plan;
  bool settled = false;  // measured, or remembered from a measurement
};

// Whether a problem has been refused by the cuDNN of every device that has been in use. Any thread.
bool is_refused_everywhere(const std::vector<int32_t>& key);

class Session {
 public:
  // The current device's.
  Session(void* stream, const std::string& device);
  ~Session();
  Session(const Session&) = delete;

  Handle handle() const { return handle_; }
  // The device and cuDNN's version.
  const std::string& place() const { return place_; }
  // What this kind of device's cuDNN does not support stays so: all sessions know it.
  bool refuses(const std::vector<int32_t>& key) const;
  void refuse(const std::vector<int32_t>& key) const;
  std::map<std::vector<int32_t>, Prepared> prepared;  // by the convolution's key
  std::vector<Prepared> retired;                      // captured graphs may still run them

 private:
  Handle handle_ = nullptr;
  std::string place_;
};

}  // namespace groupconv::cuda::cudnn
