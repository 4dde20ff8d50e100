#include "cuda/emulator/flaws.h"

#include <array>
#include <cstdint>
#include <optional>
#include <set>

namespace emulator {

namespace {

std::optional<Flaw> flaw;
std::set<Flaw> places;
bool noting = false, watched = false;
std::array<Flaw, 256> recent;  // of those noted: loops ask at the same places again and again

}  // namespace

void note_places() {
  places.clear();
  recent = {};
  noting = true;
}
std::vector<Flaw> noted_places() {
  noting = false;
  return {places.begin(), places.end()};
}
void set_flaw(const Flaw& wrong) { flaw = wrong; }
void clear_flaw() { flaw.reset(); }

Watched::Watched() { watched = noting || flaw; }
Watched::~Watched() { watched = false; }

bool is_wrong(Wrong what, const void* place) {
  if (!watched) return false;
  const Flaw here{what, place};
  if (flaw) return here == *flaw;
  Flaw& known = recent[(reinterpret_cast<uintptr_t>(place) + static_cast<unsigned>(what)) % recent.size()];
  if (here != known) places.insert(known = here);
  return false;
}

}  // namespace emulator
