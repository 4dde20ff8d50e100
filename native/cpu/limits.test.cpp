// What control groups grant, from trees of files as Linux shows them.
#include "cpu/limits.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "core/check.h"

namespace {

using namespace groupconv;
namespace fs = std::filesystem;

// A folder with the given files, gone with the object.
class Tree {
 public:
  Tree(std::initializer_list<std::pair<const char*, const char*>> files)
      : root_(fs::temp_directory_path() /
              ("groupconv-limits-" + std::to_string(::getpid()) + '-' + std::to_string(++made_))) {
    for (const auto& [name, text] : files) {
      const fs::path path = root_ / name;
      fs::create_directories(path.parent_path());
      std::ofstream(path) << text;
    }
  }
  ~Tree() { fs::remove_all(root_); }
  int processors(int most = 64) const { return cgroup_processors(root_.string(), most); }
  size_t memory(size_t most = 1 << 20) const { return cgroup_memory(root_.string(), most); }

 private:
  static inline int made_ = 0;
  fs::path root_;
};

void test_version_2() {
  const Tree slice{{"proc/self/cgroup", "0::/user.slice/job\n"},
                   {"sys/fs/cgroup/user.slice/job/cpu.max", "max 100000\n"},
                   {"sys/fs/cgroup/user.slice/cpu.max", "250000 100000\n"},
                   {"sys/fs/cgroup/user.slice/job/memory.max", "5000\n"},
                   {"sys/fs/cgroup/user.slice/memory.max", "max\n"}};
  CHECK(slice.processors() == 3 && slice.processors(2) == 2);
  CHECK(slice.memory() == 5000 && slice.memory(4000) == 4000);
}

void test_container() {  // whose own group is the highest that it sees
  const Tree container{{"proc/self/cgroup", "0::/\n"},
                       {"sys/fs/cgroup/cpu.max", "50000 100000\n"},
                       {"sys/fs/cgroup/memory.max", "7000\n"}};
  CHECK(container.processors() == 1 && container.memory() == 7000);
  const Tree host_path{{"proc/self/cgroup", "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n"},
                       {"sys/fs/cgroup/cpu/cpu.cfs_quota_us", "150000\n"},
                       {"sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"},
                       {"sys/fs/cgroup/memory/memory.limit_in_bytes", "9000\n"}};
  CHECK(host_path.processors() == 2 && host_path.memory() == 9000);
}

void test_version_1() {
  const Tree tree{{"proc/self/cgroup", "9:name=systemd:/\n2:cpuacct:/a\n1:cpu:/a/b\n0::/\n"},
                  {"sys/fs/cgroup/cpu/a/b/cpu.cfs_quota_us", "-1\n"},
                  {"sys/fs/cgroup/cpu/a/b/cpu.cfs_period_us", "100000\n"},
                  {"sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "400000\n"},
                  {"sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n"}};
  CHECK(tree.processors() == 4 && tree.memory() == 1 << 20);
}

void test_nothing_known() {
  const Tree none{{"readme", ""}};
  CHECK(none.processors() == 64 && none.memory() == 1 << 20);
  const Tree odd{{"proc/self/cgroup", "\n0\n0:\n0::\n"}, {"sys/fs/cgroup/cpu.max", "0 0\n"}};
  CHECK(odd.processors() == 64);
  CHECK(processor_limit() >= 1 && memory_limit() > 1 << 20);
}

}  // namespace

int main() {
  test_version_2();
  test_container();
  test_version_1();
  test_nothing_known();
  return groupconv::test::report();
}
