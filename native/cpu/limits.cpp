#include "cpu/limits.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

namespace groupconv {
namespace {

bool lists(const std::string& controllers, const std::string& controller) {
  std::istringstream names(controllers);
  for (std::string name; std::getline(names, name, ',');)
    if (name == controller) return true;
  return false;
}

// The process's group of one controller and the groups above it, as folders; some may not be there, because a
// container sees its own group as the highest.
std::vector<std::string> group_folders(const std::string& root, const std::string& controller) {
  std::vector<std::string> folders;
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {  // id:controllers:path; version 2 is 0::path
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (!controllers.empty() && !lists(controllers, controller)) continue;
    const std::string base = root + "/sys/fs/cgroup" + (controllers.empty() ? "" : '/' + controller);
    std::string path = line.substr(second + 1);
    while (path.size() > 1) {
      folders.push_back(base + path);
      path.resize(path.rfind('/'));
    }
    folders.push_back(base);
  }
  return folders;
}

int affinity_count() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

}  // namespace

int cgroup_processors(const std::string& root, int most) {
  const auto grant = [&](double quota, double period) {
    if (quota > 0 && period > 0 && quota / period < most)
      most = std::max(1, static_cast<int>(std::ceil(quota / period)));
  };
  for (const std::string& folder : group_folders(root, "cpu")) {
    double quota = 0, period = 0;  // the word "max" does not read as a number
    if (std::ifstream(folder + "/cpu.max") >> quota >> period) grant(quota, period);
    if (std::ifstream(folder + "/cpu.cfs_quota_us") >> quota &&
        std::ifstream(folder + "/cpu.cfs_period_us") >> period)
      grant(quota, period);
  }
  return most;
}

size_t cgroup_memory(const std::string& root, size_t most) {
  for (const std::string& folder : group_folders(root, "memory"))
    for (const char* name : {"/memory.max", "/memory.limit_in_bytes"}) {
      size_t bytes = 0;
      if (std::ifstream(folder + name) >> bytes) most = std::min(most, bytes);
    }
  return most;
}

int processor_limit() { return cgroup_processors("", affinity_count()); }

size_t memory_limit() {
  return cgroup_memory("", static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE));
}

}  // namespace groupconv
