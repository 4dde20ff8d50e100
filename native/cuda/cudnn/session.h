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

// Whether a problem has been refused by the cuDNN of every device that has been in use, or cuDNN started on
// none of them. Any thread.
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

// A stream's session, made when it is first asked for. Where cuDNN does not start, although memory has been
// given back for it, that is final: convolutions do without, and `why_without` tells.
class LazySession {
 public:
  // On the launching thread; null where there is none.
  Session* get(const CudaContext& context, const std::string& device, bool capturing);
  void close() { session_.reset(); }

 private:
  std::unique_ptr<Session> session_;
  bool asked_ = false;
};

// Why convolutions on a device do without the cuDNN that there is; empty where they need not, as far as is
// known. Any thread.
std::string why_without(int device);

}  // namespace groupconv::cuda::cudnn
