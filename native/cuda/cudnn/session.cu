#include "cuda/cudnn/session.h"

#include <mutex>
#include <set>

#include "cuda/captures.h"

namespace groupconv::cuda::cudnn {
namespace {

// What cuDNN has refused, by place. The thread that chooses solvers reads it, the launching ones write.
struct Refusals {
  std::mutex mutex;
  std::set<std::string> places;
  std::map<std::vector<int32_t>, std::set<std::string>> by_key;
  std::map<int, std::string> without;  // devices on which cuDNN did not start, and why
};
Refusals& refusals() {
  static Refusals refusals;
  return refusals;
}

}  // namespace

bool is_refused_everywhere(const std::vector<int32_t>& key) {
  Refusals& all = refusals();
  const std::lock_guard<std::mutex> lock(all.mutex);
  if (all.places.empty()) return !all.without.empty();
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

Session* LazySession::get(const CudaContext& context, const std::string& device, bool capturing) {
  if (asked_ || !library().usable()) return session_.get();
  asked_ = true;
  WithoutCaptures alone(captures_of(context.device), std::defer_lock);
  if (!capturing) alone.lock();
  std::string reason;
  for (int attempt = 0; attempt < 2 && !session_; ++attempt) try {
      if (attempt > 0) context.make_room();
      session_ = std::make_unique<Session>(context.stream, device);
      reason.clear();
    } catch (const Error& error) {
      cudaGetLastError();  // or the next launch would tell it
      reason = "cuDNN does not start: " + error.message();
    }
  const std::lock_guard<std::mutex> lock(refusals().mutex);
  if (session_)
    refusals().without.erase(context.device);
  else
    refusals().without[context.device] = reason;
  return session_.get();
}

std::string why_without(int device) {
  const std::lock_guard<std::mutex> lock(refusals().mutex);
  const auto found = refusals().without.find(device);
  return found == refusals().without.end() ? "" : found->second;
}

}  // namespace groupconv::cuda::cudnn
