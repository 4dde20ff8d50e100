// What the emulator does wrong on purpose, so that tests can show that they would notice: one thing, at one
// place of the work that is watched. A run without a flaw tells which places there are.
#pragma once
#include <compare>
#include <vector>

namespace emulator {

enum class Wrong {
  Barrier,   // nobody waits at this barrier of a block
  Exchange,  // lanes see their own value here, whatever the others gave
  Atomic,    // this atomic operation leaves its target as it was
  Stride,    // gridDim, read here, has one more than there is
  Launch,    // this kernel is not launched
  Block,     // of several blocks of this kernel, the last does not run
  Thread,    // the first thread of each of its blocks does not run
};
constexpr const char* kWrongs[] = {"barrier", "exchange", "atomic", "stride", "launch", "block", "thread"};

struct Flaw {
  Wrong what;
  const void* place;  // a kernel, or an instruction
  auto operator<=>(const Flaw&) const = default;
};

// Set and asked for while nothing runs.
void note_places();
std::vector<Flaw> noted_places();  // since then, each once
void set_flaw(const Flaw& flaw);
void clear_flaw();

// While it lives, what runs is watched: its places are noted, or one is wrong.
class Watched {
 public:
  Watched();
  ~Watched();
  Watched(const Watched&) = delete;
};

// Asked at every place, with its address.
bool is_wrong(Wrong what, const void* place);

}  // namespace emulator
