// From a convolution to a prepared plan: remembered, measured, or cuDNN's first choice.
#include "cuda/cudnn/convolution.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <initializer_list>
#include <limits>
#include <map>
#include <sstream>

#include "cuda/cudnn/session.h"
#include "cuda/settings.h"
#include "cuda/stopwatch.h"

namespace groupconv::cuda::cudnn {
namespace {

using Key = std::vector<int32_t>;

// At most so many plans are measured, of which every recipe gets its share; and so many more of every recipe
// whose kernels have to be compiled.
constexpr size_t kMostReady = 8, kMostCompiled = 2;
constexpr int kRepetitions = 3;
// Some engines ask for gigabytes, which tensors need more.
constexpr size_t kMostWorkspaceBytes = size_t{1} << 30;

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

// A recipe's graph, and the engines that cuDNN offers for it.
struct Offer {
  std::shared_ptr<const Assembly> assembly;
  std::vector<Descriptor> configs;
};

// Prepares one way after the other, best first, as `body` says: those that are ready, then those whose
// kernels have to be compiled. Throws where there is no memory, and what has failed where no way is left:
// only "unsupported" is an answer.
template <class Body>
void for_each_way(const Session& session, const Convolution& v, const ExecutionContext& context,
                  const Body& body) {
  bool prepared = false;
  std::exception_ptr failure;
  const auto passed_over = [&](const Error& error) {
    if (error.code() == ErrorCode::OutOfMemory) throw;
    if (error.code() != ErrorCode::Unsupported && !failure) failure = std::current_exception();
  };
  std::vector<Offer> offers;
  for (const Recipe recipe : recipes_for(v)) try {
      Offer offer{assembled(session, v, recipe), {}};
      offer.configs = engines_for(*offer.assembly, v, cuda_context(context).multiprocessors);
      offers.push_back(std::move(offer));
    } catch (const Error& error) {  // the graph as a whole
      passed_over(error);
    }
  for (const bool compiled : {false, true})
    for (Offer& offer : offers)
      for (Descriptor& config : offer.configs) {
        if (!config.raw() || is_compiled(config) != compiled) continue;
        Prepared way{offer.assembly, nullptr};
        try {
          way.plan = std::make_unique<Plan>(session.handle(), std::move(config));
        } catch (const Error& error) {  // this engine, after all
          passed_over(error);
          continue;
        }
        if (way.plan->workspace_bytes() > kMostWorkspaceBytes) continue;
        prepared = true;
        const Next next = body(std::move(way), compiled);
        if (next == Next::Stop) return;
        if (next == Next::Recipe) break;
      }
  if (!prepared && failure) std::rethrow_exception(failure);
}

Prepared first_way(const Session& session, const Convolution& v, const ExecutionContext& context) {
  Prepared first;
  for_each_way(session, v, context, [&](Prepared way, bool) {
    first = std::move(way);
    return Next::Stop;
  });
  return first;
}

// The recipe's name and the plan's: "fused engine 34 12=5 3=1".
std::string name_of(const Prepared& way) {
  return std::string(name_of(way.assembly->recipe)) + ' ' + way.plan->name();
}

// A saved choice is that name and, on the next line, what the plan was compiled to, if it was.
std::string choice_of(const Prepared& way) {
  const std::string text = way.plan->text();
  return name_of(way) + (text.empty() ? "" : '\n' + text);
}

// From its text, or anew where there is none, or another version of cuDNN wrote it.
std::unique_ptr<Plan> remembered_plan(const Session& session, const Graph& graph, const std::string& name,
                                      const std::string& text) {
  if (!text.empty()) try {
      return std::make_unique<Plan>(session.handle(), name, text);
    } catch (const Error& error) {
      if (error.code() == ErrorCode::OutOfMemory) throw;
    }
  return std::make_unique<Plan>(session.handle(), engine_config(graph, name));
}

// Without a plan where nothing was saved, or what this cuDNN does not know.
Prepared remembered_way(const Session& session, const Convolution& v, const Key& key) {
  if (!settings().find_engine) return {};
  std::istringstream choice(settings().find_engine(session.place(), key));
  std::string recipe_name, plan_name, text;
  choice >> recipe_name >> std::ws;
  std::getline(choice, plan_name);
  std::getline(choice, text, '\0');
  for (const Recipe recipe : recipes_for(v)) {
    if (plan_name.empty() || recipe_name != name_of(recipe)) continue;
    try {
      Prepared way{assembled(session, v, recipe), nullptr, true};
      way.plan = remembered_plan(session, way.assembly->graph, plan_name, text);
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
  std::map<std::pair<bool, Recipe>, size_t> tried;
  Prepared quickest;
  std::vector<MeasuredEngine> engines;
  if (trial.block)
    for_each_way(session, v, context, [&](Prepared way, bool compiled) {
      const size_t share = compiled ? kMostCompiled : kMostReady / recipes_for(v).size();
      size_t& count = tried[{compiled, way.assembly->recipe}];
      try {
        const double seconds = seconds_of(way, session, v, there, context);
        engines.push_back({name_of(way), seconds});
        if (seconds < least) quickest = std::move(way), least = seconds;
      } catch (const Error&) {  // an engine that can't, after all, unless the device itself has failed
        check(cudaStreamSynchronize(cuda_context(context).stream), "measuring an engine");
      }
      return ++count < share ? Next::Engine : Next::Recipe;
    });
  if (settings().tell_engines) settings().tell_engines(engines);
  measured = quickest.plan != nullptr;
  if (!measured) quickest = first_way(session, v, context);
  quickest.settled = true;
  return quickest;
}

Prepared prepare(const Session& session, const Convolution& v, const Key& key, const Operands& operands,
                 const ExecutionContext& context, bool measure) {
  Prepared way = remembered_way(session, v, key);
  if (way.plan) return way;
  if (!measure) return first_way(session, v, context);
  way = quickest_way(session, v, operands, context, measure);
  if (way.plan && measure && settings().put_engine)
    settings().put_engine({session.place(), key, choice_of(way)});
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
