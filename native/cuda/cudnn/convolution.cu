// From a convolution to a prepared plan: remembered, measured, or cuDNN's first choice.
#include "cuda/cudnn/convolution.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <initializer_list>
#include <limits>
#include <sstream>

#include "cuda/cudnn/session.h"
#include "cuda/settings.h"
#include "cuda/stopwatch.h"

namespace groupconv::cuda::cudnn {
namespace {

using Key = std::vector<int32_t>;

// Building a plan takes up to seconds: as many as are measured, of which every recipe gets its share.
constexpr size_t kMostCandidates = 8;
constexpr int kRepetitions = 3;
// Some engines ask for gigabytes, which tensors need more.
constexpr size_t kMostWorkspaceBytes = size_t{1} << 30;

Liberties liberties_of(const Convolution& v) { return {v.tf32 != 0, v.varying_order != 0}; }

Key key_of(const Convolution& convolution) {
  static_assert(sizeof(Convolution) % sizeof(int32_t) == 0);
  Key key(sizeof(Convolution) / sizeof(int32_t));
  std::memcpy(key.data(), &convolution, sizeof convolution);
  return key;
}

// Device memory for results that nobody wants.
struct Trial {
  Trial(size_t bytes, const CudaContext& context) : block(context.allocate(bytes)) {}
  ~Trial() { cudaFree(block); }
  Trial(const Trial&) = delete;
  void* const block;
};

// Whether the work is being recorded: then nothing may be measured.
bool is_capturing(const ExecutionContext& context) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(cuda_context(context).stream, &status), "capture");
  return status != cudaStreamCaptureStatusNone;
}

// What has failed for want of memory is tried once more, where some can be given back.
template <class Body>
auto with_room(const ExecutionContext& context, const Body& body) {
  try {
    return body();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::OutOfMemory || cuda_context(context).make_room() == 0) throw;
  }
  return body();
}

std::shared_ptr<const Assembly> assembled(const Session& session, const Convolution& v, Recipe recipe) {
  return std::make_shared<const Assembly>(assemble(v, recipe, session.handle()));
}

enum class Next { Engine, Recipe, Stop };

// Prepares one after the other, best first, as `body` says: preparing is what takes time. A recipe that costs
// digits comes only where no other can be prepared. Throws where there is no memory, and what has failed
// where no way is left: only "unsupported" is an answer.
template <class Body>
void for_each_way(const Session& session, const Convolution& v, const Body& body) {
  bool prepared = false;
  std::exception_ptr failure;
  const auto passed_over = [&](const Error& error) {
    if (error.code() == ErrorCode::OutOfMemory) throw;
    if (error.code() != ErrorCode::Unsupported && !failure) failure = std::current_exception();
  };
  for (const Recipe recipe : recipes_for(v)) {
    if (recipe == Recipe::Narrow && (prepared || failure)) break;
    std::shared_ptr<const Assembly> assembly;
    std::vector<Descriptor> configs;
    try {
      assembly = assembled(session, v, recipe);
      configs = engine_configs(assembly->graph, v.dtype, liberties_of(v));
    } catch (const Error& error) {  // the graph as a whole
      passed_over(error);
      continue;
    }
    for (Descriptor& config : configs) {
      Prepared way{assembly, nullptr};
      try {
        way.plan = std::make_unique<Plan>(session.handle(), std::move(config));
      } catch (const Error& error) {  // this engine, after all
        passed_over(error);
        continue;
      }
      if (way.plan->workspace_bytes() > kMostWorkspaceBytes) continue;
      prepared = true;
      const Next next = body(std::move(way));
      if (next == Next::Stop) return;
      if (next == Next::Recipe) break;
    }
  }
  if (!prepared && failure) std::rethrow_exception(failure);
}

Prepared first_way(const Session& session, const Convolution& v) {
  Prepared first;
  for_each_way(session, v, [&](Prepared way) {
    first = std::move(way);
    return Next::Stop;
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
    } catch (const Error& error) {
      if (error.code() == ErrorCode::OutOfMemory) throw;
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

// Of the candidates: those of a recipe that offers fewer are left to the next ones.
size_t tried_by_the_end_of(Recipe recipe, const Convolution& v) {
  const std::vector<Recipe> recipes = recipes_for(v);
  const auto without_digits = std::count(recipes.begin(), recipes.end(), Recipe::Narrow);
  const auto shares = static_cast<size_t>(recipes.end() - recipes.begin() - without_digits);
  const auto place = static_cast<size_t>(std::find(recipes.begin(), recipes.end(), recipe) - recipes.begin());
  return std::min(kMostCandidates, kMostCandidates * (place + 1) / shares);
}

// The quickest, if all of them can be tried; else the first, for good: it has a plan, and no more than that.
// Results go beside the operands' own.
Prepared quickest_way(const Session& session, const Convolution& v, const Operands& operands,
                      const ExecutionContext& context, bool& measured) {
  const size_t element = v.pass == Pass::GradWeight ? sizeof(float) : size_of(v.dtype);
  const int64_t elements = v.pass == Pass::Forward     ? v.y_size()
                           : v.pass == Pass::GradInput ? v.x_size()
                                                       : v.filter().size();
  const Trial trial(static_cast<size_t>(elements) * element, cuda_context(context));
  Operands there = operands;
  (v.pass == Pass::Forward ? there.y : there.dx) = trial.block;
  there.dweight = static_cast<float*>(trial.block);

  double least = std::numeric_limits<double>::infinity();
  size_t tried = 0;
  Prepared quickest;
  if (trial.block)
    for_each_way(session, v, [&](Prepared way) {
      const size_t share = tried_by_the_end_of(way.assembly->recipe, v);
      try {
        const double seconds = seconds_of(way, session, v, there, context);
        if (seconds < least) quickest = std::move(way), least = seconds;
      } catch (const Error&) {  // an engine that can't, after all, unless the device itself has failed
        check(cudaStreamSynchronize(cuda_context(context).stream), "measuring an engine");
      }
      return ++tried < share ? Next::Engine : Next::Recipe;
    });
  measured = quickest.plan != nullptr;
  if (!measured) quickest = first_way(session, v);
  quickest.settled = true;
  return quickest;
}

Prepared prepare(const Session& session, const Convolution& v, const Key& key, const Operands& operands,
                 const ExecutionContext& context, bool measure) {
  Prepared way = remembered_way(session, v, key);
  if (way.plan) return way;
  if (!measure) return first_way(session, v);
  way = quickest_way(session, v, operands, context, measure);
  if (way.plan && measure && settings().put_engine)
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
         !is_refused_everywhere(key_of(convolution));
}

bool run(const Convolution& convolution, const Operands& operands, const ExecutionContext& context) {
  Session* const session = cuda_context(context).cudnn();
  const Key key = key_of(convolution);
  if (!session || !is_aligned(operands) || session->refuses(key)) return false;
  const bool measure = settings().autotune && *settings().autotune && !is_capturing(context);
  Prepared& way = session->prepared[key];
  if (!way.plan || (measure && !way.settled)) {
    Prepared found =
        with_room(context, [&] { return prepare(*session, convolution, key, operands, context, measure); });
    if (way.plan) session->retired.push_back(std::move(way));
    way = std::move(found);
  }
  try {
    if (way.plan) {
      with_room(context,
                [&] { run(*way.assembly, *way.plan, session->handle(), convolution, operands, context); });
      return true;
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::Unsupported) throw;
  }
  session->refuse(key);
  session->retired.push_back(std::move(way));
  session->prepared.erase(key);
  return false;
}

}  // namespace groupconv::cuda::cudnn
