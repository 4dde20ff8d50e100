// The stand-in's engines (standin.h), their configurations, and plans as text.
#pragma once
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cuda/emulator/cudnn/descriptors.h"

namespace standin {

constexpr int64_t kTensorCore = 0, kVaryingOrder = 1, kPlain = 2, kNarrowSums = 3, kTransforms = 4,
                  kEngines = 5;
constexpr int kKnob = 7;  // 1 is faster than 0

bool supports(int64_t engine, const Descriptor& graph);
std::vector<int> notes_of(int64_t engine);
std::vector<int> behavior_of(const Descriptor& engine);

// What heuristics offer, which are finalized with it.
void find_configs(Descriptor& heuristics);
// A configuration that was put together by hand gets the form of those.
void adopt_parts(Descriptor& config);

// A plan's configuration: its own, or the one that its text told; and what that says.
const Descriptor& config_of(const Descriptor& plan);
int64_t index_of(const Descriptor& config);
const Descriptor& graph_of(const Descriptor& config);
// "engine 0 7=1"
std::string name_of(const Descriptor& config);
// Whether it takes no longer than it has to.
bool is_fast(const Descriptor& config);

// A plan as text: its engine's name, and all of its graph.
std::string text_of(const Descriptor& plan);
// The plan of a text. The graph is not made anew: one that is there and alike serves.
void restore(Descriptor& plan);
// Those that are finalized and not yet destroyed.
std::set<const Descriptor*>& graphs();

}  // namespace standin
