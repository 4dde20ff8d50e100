// Choices that were measured: which solver was fastest for a problem, on one device as it stood.
#pragma once
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace groupconv {

// Whether a problem without a choice is measured when it first comes. Off at the start.
inline std::atomic<bool> autotune_enabled{false};

struct TunedChoice {
  std::string place;             // Stream::place(): the device and what decides its speed
  std::vector<int32_t> problem;  // the bytes of the operator's problem
  std::string solver;
};

// One operator's choices. Streams of several threads share it.
class TuningTable {
 public:
  bool empty() const { return size_ == 0; }
  // The solver's name, or an empty one where nothing is known.
  std::string find(const std::string& place, const std::vector<int32_t>& problem) const;
  void put(const TunedChoice& choice);
  // What could not be measured is not tried again: of this process alone, until the table is cleared.
  bool is_given_up(const std::string& place, const std::vector<int32_t>& problem) const;
  void give_up(const std::string& place, const std::vector<int32_t>& problem);
  void clear();
  std::vector<TunedChoice> choices() const;

 private:
  using Key = std::pair<std::string, std::vector<int32_t>>;
  mutable std::mutex mutex_;
  std::map<Key, std::string> solvers_;
  std::set<Key> given_up_;
  std::atomic<size_t> size_{0};  // read without the lock: most programs never tune
};

}  // namespace groupconv
