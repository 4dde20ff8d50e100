// What the process may use of the machine: the least that affinity and control groups grant it.
#pragma once
#include <cstddef>
#include <string>

namespace groupconv {

// Processors, rounded up where a group's quota grants a part of one; at least 1.
int processor_limit();
// Bytes of memory.
size_t memory_limit();

// The same of the control groups alone, of both versions and with all groups above them, as the files below
// `root` tell; `most` where they tell nothing.
int cgroup_processors(const std::string& root, int most);
size_t cgroup_memory(const std::string& root, size_t most);

}  // namespace groupconv
