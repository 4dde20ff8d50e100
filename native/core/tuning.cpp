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

bool TuningTable::is_given_up(const std::string& place, const std::vector<int32_t>& problem) const {
  std::lock_guard<std::mutex> lock(mutex_);
  return given_up_.count({place, problem}) > 0;
}

void TuningTable::give_up(const std::string& place, const std::vector<int32_t>& problem) {
  std::lock_guard<std::mutex> lock(mutex_);
  given_up_.insert({place, problem});
}

void TuningTable::clear() {
  std::lock_guard<std::mutex> lock(mutex_);
  solvers_.clear();
  given_up_.clear();
  size_ = 0;
}

std::vector<TunedChoice> TuningTable::choices() const {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<TunedChoice> choices;
  for (const auto& [key, solver] : solvers_) choices.push_back({key.first, key.second, solver});
  return choices;
}

}  // namespace groupconv
