// The process's worker threads. They spin for a moment after each region, then sleep.
#pragma once

namespace groupconv {

// Threads that a parallel region uses, the caller included. The default is what the process may use: its
// affinity mask and cgroup quota, or GROUPCONV_NUM_THREADS.
int thread_count();
// Throws INVALID_ARGUMENT outside 1..256. Takes effect with the next task.
void set_thread_count(int threads);

}  // namespace groupconv
