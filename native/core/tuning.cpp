#include "core/tuning.h"

namespace groupconv {

std::string TuningTable::find(const std::string& place, const std::vector<int32_t>& problem) const {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = solvers_.find({place, problem});
  return found == solvers_.end() ? std::string() : found->second;
}

void TuningTable::put(const TunedChoice& choice) {
  std::lock_guard<std::mutex> lock(mutex_);
  solvers_[{choice.place, choice.problem}] = choice.solver;
  size_ = solvers_.size();
}

void TuningTable::clear() {
  std::lock_guard<std::mutex> lock(mutex_);
  solvers_.clear();
  size_ = 0;
}

std::vector<TunedChoice> TuningTable::choices() const {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<TunedChoice> choices;
  for (const auto& [key, solver] : solvers_) choices.push_back({key.first, key.second, solver});
  return choices;
}

}  // namespace groupconv
