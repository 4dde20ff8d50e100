// From a convolution to a prepared plan: remembered, measured, or cuDNN's first choice.
#include "cuda/cudnn/convolution.h"

#include <cstring>
#include <initializer_list>
#include <limits>
#include <mutex>
#include <set>
#include <sstream>

#include "cuda/cudnn/session.h"
#include "cuda/settings.h"
#include "cuda/stopwatch.h"

namespace groupconv::cuda::cudnn {
namespace {

using Key = std::vector<int32_t>;

// Building a plan takes up to seconds: as many as are measured.
constexpr size_t kMostCandidates = 8;
constexpr int kRepetitions = 3;
// Some engines ask for gigabytes, which tensors need more.
constexpr size_t kMostWorkspaceBytes = size_t{1} << 30;

Policy policy() { return {settings().allow_tf32, !settings().deterministic}; }

Key key_of(const Convolution& convolution, const Policy& policy) {
  static_assert(sizeof(Convolution) % sizeof(int32_t) == 0);
  Key key(sizeof(Convolution) / sizeof(int32_t));
  std::memcpy(key.data(), &convolution, sizeof convolution);
  key.push_back(policy.tf32);
  key.push_back(policy.nondeterministic);
  return key;
}

// What cuDNN has refused. The thread that chooses reads it, the launching ones write.
class Refusals {
 public:
  bool has(const Key& key) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return keys_.count(key) != 0;
  }
  void add(const Key& key) {
    const std::lock_guard<std::mutex> lock(mutex_);
    keys_.insert(key);
  }

 private:
  std::mutex mutex_;
  std::set<Key> keys_;
};
Refusals& refusals() {
  static Refusals refusals;
  return refusals;
}

// Device memory for results that nobody wants.
struct Trial {
  explicit Trial(size_t bytes) {
    if (cudaMalloc(&block, bytes) != cudaSuccess) cudaGetLastError(), block = nullptr;
  }
  ~Trial() { cudaFree(block); }
  Trial(const Trial&) = delete;
  void* block = nullptr;
};

// Whether the work is being recorded: then nothing may be measured.
bool is_capturing(const ExecutionContext& context) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(cuda_context(context).stream, &status), "capture");
  return status != cudaStreamCaptureStatusNone;
}

std::shared_ptr<const Assembly> assembled(const Session& session, const Convolution& v, Recipe recipe) {
  return std::make_shared<const Assembly>(assemble(v, recipe, session.handle()));
}

// Prepares one after the other, best first, until `body` returns false: preparing is what takes time. A
// recipe that costs digits comes only where no other can be prepared.
template <class Body>
void for_each_way(const Session& session, const Convolution& v, const Policy& policy, const Body& body) {
  bool prepared = false;
  for (const Recipe recipe : recipes_for(v)) {
    if (prepared && recipe == Recipe::Narrow) return;
    std::shared_ptr<const Assembly> assembly;
    std::vector<Descriptor> configs;
    try {
      assembly = assembled(session, v, recipe);
      configs = engine_configs(assembly->graph, v.dtype, policy);
    } catch (const Error&) {  // the graph as a whole is refused
      continue;
    }
    for (Descriptor& config : configs) {
      Prepared way{assembly, nullptr};
      try {
        way.plan = std::make_unique<Plan>(session.handle(), std::move(config));
      } catch (const Error&) {  // this engine can't, after all
        continue;
      }
      if (way.plan->workspace_bytes() > kMostWorkspaceBytes) continue;
      prepared = true;
      if (!body(std::move(way))) return;
    }
  }
}

Prepared first_way(const Session& session, const Convolution& v, const Policy& policy) {
  Prepared first;
  for_each_way(session, v, policy, [&](Prepared way) {
    first = std::move(way);
    return false;
  });
  return first;
}

// A saved choice is the recipe's name and the plan's: "fused engine 34 12=5 3=1". Without a plan where there
// is none, or where this cuDNN does not know it.
Prepared remembered_way(const Session& session, const Convolution& v, const Key& key) {
  if (!settings().find_engine) return {};
  const std::string choice = settings().find_engine(session.place(), key);
  const size_t space = choice.find(' ');
  for (const Recipe recipe : recipes_for(v)) {
    if (space == std::string::npos || choice.compare(0, space, name_of(recipe)) != 0) continue;
    try {
      Prepared way{assembled(session, v, recipe), nullptr, true};
      way.plan = std::make_unique<Plan>(session.handle(),
                                        engine_config(way.assembly->graph, choice.substr(space + 1)));
      return way;
    } catch (const Error&) {
    }
  }
  return {};
}

// Seconds of the quickest of some runs on the operands' values; throws where it can't run.
double seconds_of(const Prepared& way, const Session& session, const Convolution& v, const Operands& operands,
                  const ExecutionContext& context) {
  double least = std::numeric_limits<double>::infinity();
  for (int i = -1; i < kRepetitions; ++i) {  // the first warms up
    Stopwatch stopwatch(cuda_context(context).stream);
    run(*way.assembly, *way.plan, session.handle(), v, operands, context);
    const double seconds = stopwatch.stop();
    if (i >= 0) least = std::min(least, seconds);
  }
  return least;
}

// The quickest, if all of them can be tried; else the first. Results go beside the operands' own.
Prepared quickest_way(const Session& session, const Convolution& v, const Policy& policy,
                      const Operands& operands, const ExecutionContext& context) {
  const size_t element = v.pass == Pass::GradWeight ? sizeof(float) : size_of(v.dtype);
  const int64_t elements = v.pass == Pass::Forward     ? v.y_size()
                           : v.pass == Pass::GradInput ? v.x_size()
                                                       : v.filter().size();
  const Trial trial(static_cast<size_t>(elements) * element);
  if (!trial.block) return first_way(session, v, policy);
  Operands there = operands;
  (v.pass == Pass::Forward ? there.y : there.dx) = trial.block;
  there.dweight = static_cast<float*>(trial.block);

  Prepared quickest;
  double least = std::numeric_limits<double>::infinity();
  size_t tried = 0;
  for_each_way(session, v, policy, [&](Prepared way) {
    try {
      const double seconds = seconds_of(way, session, v, there, context);
      if (seconds < least) quickest = std::move(way), least = seconds;
    } catch (const Error&) {  // an engine that can't, after all, unless the device itself has failed
      check(cudaStreamSynchronize(cuda_context(context).stream), "measuring an engine");
    }
    return ++tried < kMostCandidates;
  });
  quickest.settled = true;
  return quickest;
}

Prepared prepare(const Session& session, const Convolution& v, const Key& key, const Policy& policy,
                 const Operands& operands, const ExecutionContext& context, bool measure) {
  Prepared way = remembered_way(session, v, key);
  if (way.plan) return way;
  if (!measure) return first_way(session, v, policy);
  way = quickest_way(session, v, policy, operands, context);
  if (way.plan && settings().put_engine)
    settings().put_engine(
        {session.place(), key, std::string(name_of(way.assembly->recipe)) + ' ' + way.plan->name()});
  return way;
}

bool is_aligned(const Operands& o) {
  for (const void* address :
       std::initializer_list<const void*>{o.x, o.filter, o.bias, o.residual, o.y, o.dy, o.dx, o.dweight})
    if (reinterpret_cast<uintptr_t>(address) % kAlignment != 0) return false;
  return true;
}

}  // namespace

bool accepts(const Convolution& convolution) {
  return library().usable() && convolution.dtype != DType::Int32 &&
         !refusals().has(key_of(convolution, policy()));
}

bool run(const Convolution& convolution, const Operands& operands, const ExecutionContext& context) {
  Session* const session = cuda_context(context).cudnn();
  const Policy allowed = policy();
  const Key key = key_of(convolution, allowed);
  if (!session || !is_aligned(operands) || refusals().has(key)) return false;
  const bool measure = settings().autotune && *settings().autotune && !is_capturing(context);
  Prepared& way = session->prepared[key];
  if (!way.plan || (measure && !way.settled)) {
    if (way.plan) session->retired.push_back(std::move(way));
    way = prepare(*session, convolution, key, allowed, operands, context, measure);
  }
  try {
    if (way.plan) {
      run(*way.assembly, *way.plan, session->handle(), convolution, operands, context);
      return true;
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::Unsupported) throw;
  }
  refusals().add(key);
  session->retired.push_back(std::move(way));
  session->prepared.erase(key);
  return false;
}

}  // namespace groupconv::cuda::cudnn
