// The addon's state of one JavaScript environment (the main thread's or a worker's): its streams, the handles
// that JavaScript holds, and the promises that wait.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/tensor.h"
#include "napi_setup.h"

namespace groupconv {

// What a JavaScript handle points to. `tensor` is null once released.
struct Handle {
  TensorPtr tensor;
  napi_ref weak = nullptr;  // reads empty once the handle is unreachable, before any finaliser runs
  Handle* next = nullptr;   // in the list of those that are free, or spare
};

// An environment's handles, in slabs: a pointer is known for one of them by its place, without a look at any
// memory.
class Handles {
 public:
  Handle* take();
  void give(Handle* handle);  // it has neither tensor nor reference
  bool has(const void* place) const;
  template <class Visit>
  void each(const Visit& visit) const {
    for (const auto& slab : slabs_)
      for (size_t i = 0; i < kSlab; ++i)
        if (slab[i].tensor) visit(slab[i]);
  }

 private:
  static constexpr size_t kSlab = 2048;
  std::vector<std::unique_ptr<Handle[]>> slabs_;
  Handle* free_ = nullptr;
};

class Environment {
 public:
  explicit Environment(Napi::Env env);
  ~Environment();
  static Environment& of(napi_env env);
  Napi::Env env() const { return env_; }

  // Throws DEVICE_UNAVAILABLE for a device that isn't there.
  const std::shared_ptr<Stream>& stream(Device device);
  // What has failed for good on a CUDA device that this environment has opened; else empty.
  std::string failure_of(int cuda_index) const;

  // From begin to end (or cancel), what runs is recorded by its stream, which is that of the first tensor.
  void begin_recording();
  void pause_recording(bool paused);
  std::shared_ptr<Recording> end_recording();
  void cancel_recording() noexcept;
  bool records() const { return records_; }
  // To be called before a stream is used. INVALID_ARGUMENT where another one is recorded.
  void use(Stream& stream) {
    if (records_ && !paused_) record_on(stream);
  }

  napi_value wrap(TensorPtr tensor);
  // Throws INVALID_ARGUMENT for what is not a handle of this addon, DISPOSED for a released one.
  Tensor& unwrap(napi_value value);
  // The caller must not use the handle again: it comes back from `wrap` as another tensor's.
  void release(napi_value value);
  // Tensors of one stream.
  int64_t live_handles(const Stream& stream) const;
  // Releases the tensors of unreachable handles. In a synchronous loop no finaliser runs, so this is what
  // keeps it flat.
  void sweep();
  // To be called where JavaScript waits for the queue: what lives here is what the program holds.
  void settle_memory();

  // A promise for all that was queued so far; resolves with `value`, which stays alive until then.
  napi_value settle_after_queue(Stream& stream, napi_value value);

  void set_error_class(napi_value constructor);
  // To be called in a catch block: throws in JavaScript what was caught. Nothing leaves it: while a worker is
  // being terminated no JavaScript object can be made, so the error is dropped, as is all of that worker's
  // work.
  static void throw_in_js(napi_env env) noexcept;

 private:
  struct Completion;
  napi_value make_error(const Error& error);
  void settle(Completion& completion);
  int64_t bytes_in_use() const;
  void watch_growth(int64_t bytes);
  void tell_v8();
  napi_value make_external(Handle* handle);
  napi_value take_spare(Handle* handle);
  Handle* handle_of(napi_value value);
  void record_on(Stream& stream);
  void stop();
  static void on_completion(Napi::Env env, Napi::Function, Environment* self, Completion* completion);
  using Completions = Napi::TypedThreadSafeFunction<Environment, Completion, &Environment::on_completion>;

  Napi::Env env_;
  Napi::FunctionReference error_class_;
  std::shared_ptr<Stream> cpu_;
  std::map<int, std::shared_ptr<Stream>> cuda_;  // by index
  bool records_ = false, paused_ = false;
  Stream* recorded_ = nullptr;  // null until a tensor has decided
  Completions completions_;
  int waiting_ = 0;
  Handles handles_;
  // Released handles, held for the next tensors: what garbage collection leaves behind of a handle is freed
  // only when the event loop turns, so that a synchronous training loop would grow by some 40 KB a step.
  Handle* spares_ = nullptr;
  int64_t spare_count_ = 0;
  // V8 collects garbage when it hears of more memory, in vain while a training step takes and returns
  // hundreds of megabytes: so it hears of what is in use at waits, and between them only beyond the most that
  // was in use before the last wait.
  int64_t told_bytes_ = 0, most_bytes_ = 0, usual_most_bytes_ = 0, unswept_bytes_ = 0;
  bool stopped_ = false;
};

}  // namespace groupconv
