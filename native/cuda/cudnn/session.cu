#include "cuda/cudnn/session.h"

namespace groupconv::cuda::cudnn {

Session::Session(void* stream, const std::string& device)
    : place_("cuda " + device + " cuDNN " + library().version) {
  check(library().functions.create(&handle_), "handle");
  const Status status = library().functions.set_stream(handle_, stream);
  if (status != kSuccess) library().functions.destroy(handle_);
  check(status, "stream");
}

Session::~Session() {
  prepared.clear();  // plans go before the handle that they were made with
  retired.clear();
  library().functions.destroy(handle_);
}

}  // namespace groupconv::cuda::cudnn
