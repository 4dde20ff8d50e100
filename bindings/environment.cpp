#include "environment.h"

#include <algorithm>
#include <utility>

#include "cpu/stream.h"
#include "cuda/library.h"

namespace groupconv {
namespace {

constexpr int64_t kSweepBytes = int64_t{8} << 20;  // of new tensors, while memory grows
constexpr int64_t kMostSpares = 4096;

void check(napi_env env, napi_status status) {
  if (status != napi_ok) throw Napi::Error::New(env);
}

}  // namespace

struct Environment::Completion {
  napi_deferred deferred = nullptr;
  napi_ref value = nullptr;  // null: resolves with undefined
  std::unique_ptr<Error> error;
};

Handle* Handles::take() {
  if (!free_) {
    slabs_.push_back(std::make_unique<Handle[]>(kSlab));
    for (size_t i = kSlab; i-- > 0;) give(&slabs_.back()[i]);
  }
  return std::exchange(free_, free_->next);
}

void Handles::give(Handle* handle) {
  handle->next = free_;
  free_ = handle;
}

bool Handles::has(const void* place) const {
  return std::any_of(slabs_.begin(), slabs_.end(), [&](const auto& slab) {
    return !std::less<>()(place, slab.get()) && std::less<>()(place, slab.get() + kSlab);
  });
}

Environment::Environment(Napi::Env env) : env_(env) {
  completions_ = Completions::New(env, "groupconv", 0, 1, this);
  completions_.Unref(env);  // an idle stream must not keep the process alive
  // Registered right after the thread-safe function, so it runs right before that one's own clean-up.
  napi_add_env_cleanup_hook(
      env, [](void* self) { static_cast<Environment*>(self)->stop(); }, this);
}

Environment::~Environment() {
  stop();
  handles_.each([](Handle& handle) { handle.tensor.reset(); });
}

Environment& Environment::of(napi_env env) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  return *static_cast<Environment*>(data);
}

void Environment::stop() {
  if (std::exchange(stopped_, true)) return;
  cancel_recording();
  if (cpu_) cpu_->stop();
  for (const auto& [index, stream] : cuda_)
    if (stream) stream->stop();
  completions_.Abort();
}

const std::shared_ptr<Stream>& Environment::stream(Device device) {
  if (device.kind == DeviceKind::Cpu) {
    if (!cpu_) cpu_ = std::make_shared<CpuStream>();
    return cpu_;
  }
  std::shared_ptr<Stream>& stream = cuda_[device.index];
  if (!stream) stream = cuda::open_stream(device.index);
  return stream;
}

std::string Environment::failure_of(int cuda_index) const {
  const auto opened = cuda_.find(cuda_index);
  return opened == cuda_.end() || !opened->second ? "" : opened->second->failure();
}

void Environment::begin_recording() {
  require(!records_, ErrorCode::InvalidArgument, "capture: inside of another capture");
  records_ = true;
}

void Environment::record_on(Stream& stream) {
  require(!recorded_ || recorded_ == &stream, ErrorCode::InvalidArgument,
          "capture: the function's tensors are on ", recorded_ ? recorded_->device() : Device{}, " and ",
          stream.device());
  if (std::exchange(recorded_, &stream)) return;
  stream.begin_recording();
}

void Environment::pause_recording(bool paused) {
  paused_ = paused;
  if (recorded_) recorded_->pause_recording(paused);
}

std::shared_ptr<Recording> Environment::end_recording() {
  if (!recorded_) record_on(*stream({DeviceKind::Cpu, 0}));  // nothing ran
  records_ = paused_ = false;
  return std::exchange(recorded_, nullptr)->end_recording();
}

void Environment::cancel_recording() noexcept {
  records_ = paused_ = false;
  if (Stream* stream = std::exchange(recorded_, nullptr)) stream->cancel_recording();
}

napi_value Environment::wrap(TensorPtr tensor) {
  watch_growth(static_cast<int64_t>(tensor->logical_bytes()));
  if (Handle* handle = spares_) {
    const napi_value external = take_spare(handle);
    handle->tensor = std::move(tensor);
    return external;
  }
  Handle* handle = handles_.take();
  const napi_value external = make_external(handle);
  handle->tensor = std::move(tensor);
  return external;
}

int64_t Environment::bytes_in_use() const {
  int64_t bytes = cpu_ ? cpu_->use.bytes.load() : 0;
  for (const auto& [index, stream] : cuda_)
    if (stream) bytes += stream->use.bytes;
  return bytes;
}

int64_t Environment::live_handles(const Stream& stream) const {
  int64_t count = 0;
  handles_.each([&](const Handle& handle) { count += &handle.tensor->stream() == &stream; });
  return count;
}

void Environment::watch_growth(int64_t bytes) {
  const int64_t now = bytes_in_use();
  most_bytes_ = std::max(most_bytes_, now);
  if (now <= usual_most_bytes_) return;
  unswept_bytes_ += bytes;
  if (unswept_bytes_ > kSweepBytes) sweep();
  tell_v8();
}

void Environment::tell_v8() {
  const int64_t now = bytes_in_use();
  if (now == told_bytes_) return;
  int64_t total;
  napi_adjust_external_memory(env_, now - std::exchange(told_bytes_, now), &total);
}

void Environment::settle_memory() {
  usual_most_bytes_ = most_bytes_;
  tell_v8();
}

napi_value Environment::take_spare(Handle* handle) {
  spares_ = handle->next;
  --spare_count_;
  napi_value external;
  uint32_t strong;
  check(env_, napi_get_reference_value(env_, handle->weak, &external));
  check(env_, napi_reference_unref(env_, handle->weak, &strong));
  return external;
}

napi_value Environment::make_external(Handle* handle) {
  napi_value external;
  const auto finalise = [](napi_env env, void* data, void*) {
    auto* dead = static_cast<Handle*>(data);
    dead->tensor.reset();
    napi_delete_reference(env, std::exchange(dead->weak, nullptr));
    Environment::of(env).handles_.give(dead);
  };
  check(env_, napi_create_external(env_, handle, finalise, nullptr, &external));
  check(env_, napi_create_reference(env_, external, 0, &handle->weak));
  return external;
}

Handle* Environment::handle_of(napi_value value) {
  void* data = nullptr;
  const bool external = napi_get_value_external(env_, value, &data) == napi_ok;
  require(external && handles_.has(data), ErrorCode::InvalidArgument, "expected a tensor");
  return static_cast<Handle*>(data);
}

Tensor& Environment::unwrap(napi_value value) {
  Handle* handle = handle_of(value);
  require(handle->tensor != nullptr, ErrorCode::Disposed, "the tensor has been disposed");
  return *handle->tensor;
}

void Environment::release(napi_value value) {
  Handle* handle = handle_of(value);
  if (!handle->tensor) return;
  handle->tensor.reset();
  if (spare_count_ >= kMostSpares) return;
  uint32_t strong;
  check(env_, napi_reference_ref(env_, handle->weak, &strong));
  handle->next = spares_;
  spares_ = handle;
  ++spare_count_;
}

void Environment::sweep() {
  unswept_bytes_ = 0;
  const Napi::HandleScope scope(env_);
  handles_.each([&](Handle& handle) {
    napi_value alive = nullptr;
    if (napi_get_reference_value(env_, handle.weak, &alive) == napi_ok && !alive) handle.tensor.reset();
  });
}

napi_value Environment::settle_after_queue(Stream& stream, napi_value value) {
  settle_memory();
  auto completion = std::make_unique<Completion>();
  napi_value promise;
  check(env_, napi_create_promise(env_, &completion->deferred, &promise));
  napi_valuetype type;
  check(env_, napi_typeof(env_, value, &type));
  if (type == napi_object) check(env_, napi_create_reference(env_, value, 1, &completion->value));
  if (waiting_++ == 0) completions_.Ref(env_);
  // A plain pointer, because std::function must be copyable; on_completion takes it over.
  stream.notify([this, raw = completion.release()](const Error* error) {
    if (error) raw->error = std::make_unique<Error>(*error);
    if (completions_.NonBlockingCall(raw) != napi_ok) delete raw;
  });
  return promise;
}

void Environment::on_completion(Napi::Env env, Napi::Function, Environment* self, Completion* completion) {
  const std::unique_ptr<Completion> owned(completion);
  if (env == nullptr) return;  // the environment is going away
  const Napi::HandleScope scope(env);
  if (--self->waiting_ == 0) self->completions_.Unref(env);
  self->settle(*owned);
}

void Environment::settle(Completion& completion) {
  napi_value value;
  napi_get_undefined(env_, &value);
  if (completion.value) {
    napi_get_reference_value(env_, completion.value, &value);
    napi_delete_reference(env_, completion.value);
  }
  if (completion.error)
    napi_reject_deferred(env_, completion.deferred, make_error(*completion.error));
  else
    napi_resolve_deferred(env_, completion.deferred, value);
}

void Environment::set_error_class(napi_value constructor) {
  error_class_ = Napi::Persistent(Napi::Function(env_, constructor));
}

napi_value Environment::make_error(const Error& error) {
  return error_class_.New(
      {Napi::String::New(env_, code_name(error.code())), Napi::String::New(env_, error.message())});
}

void Environment::throw_in_js(napi_env env) noexcept try {
  const auto throw_error = [env](const Error& error) { napi_throw(env, of(env).make_error(error)); };
  try {
    throw;
  } catch (const Error& error) {
    throw_error(error);
  } catch (const Napi::Error& error) {
    error.ThrowAsJavaScriptException();
  } catch (const std::bad_alloc&) {
    throw_error(Error(ErrorCode::OutOfMemory, "out of memory"));
  } catch (const std::exception& error) {
    throw_error(Error(ErrorCode::DeviceFailure, error.what()));
  }
} catch (const std::exception&) {
  // From make_error, in a worker that is being terminated.
}

}  // namespace groupconv
