#include "cuda/cudnn/session.h"

#include <mutex>
#include <set>

namespace groupconv::cuda::cudnn {
namespace {

// What cuDNN has refused, by place. The thread that chooses solvers reads it, the launching ones write.
struct Refusals {
  std::mutex mutex;
  std::set<std::string> places;
  std::map<std::vector<int32_t>, std::set<std::string>> by_key;
};
Refusals& refusals() {
  static Refusals refusals;
  return refusals;
}

}  // namespace

bool is_refused_everywhere(const std::vector<int32_t>& key) {
  Refusals& all = refusals();
  const std::lock_guard<std::mutex> lock(all.mutex);
  const auto found = all.by_key.find(key);
  return found != all.by_key.end() && found->second.size() == all.places.size();
}

Session::Session(void* stream, const std::string& device)
    : place_("cuda " + device + " cuDNN " + library().version) {
  check(library().functions.create(&handle_), "handle");
  const Status status = library().functions.set_stream(handle_, stream);
  if (status != kSuccess) library().functions.destroy(handle_);
  check(status, "stream");
  const std::lock_guard<std::mutex> lock(refusals().mutex);
  refusals().places.insert(place_);
}

Session::~Session() {
  prepared.clear();  // plans go before the handle that they were made with
  retired.clear();
  library().functions.destroy(handle_);
}

bool Session::refuses(const std::vector<int32_t>& key) const {
  Refusals& all = refusals();
  const std::lock_guard<std::mutex> lock(all.mutex);
  const auto found = all.by_key.find(key);
  return found != all.by_key.end() && found->second.count(place_) != 0;
}

void Session::refuse(const std::vector<int32_t>& key) const {
  const std::lock_guard<std::mutex> lock(refusals().mutex);
  refusals().by_key[key].insert(place_);
}

}  // namespace groupconv::cuda::cudnn
