#include "device_api.h"

#include "bind.h"
#include "core/dispatch.h"
#include "cpu/isa.h"
#include "cpu/measure.h"
#include "cpu/pool.h"
#include "cpu/stream.h"
#include "cuda/library.h"
#include "cuda/settings.h"
#include "ops/conv2d/conv2d.measure.h"

namespace groupconv {

// The elements of a Float32Array, an Int32Array or (for 16-bit dtypes) a Uint16Array.
struct HostArray {
  napi_value value;
  void* data;
  size_t bytes;
};

template <>
struct From<HostArray> {
  static HostArray read(Arguments& a) {
    HostArray array{a.take(), nullptr, 0};
    size_t length = 0;
    napi_typedarray_type type;
    require(napi_get_typedarray_info(a.env, array.value, &type, &length, &array.data, nullptr, nullptr) ==
                napi_ok,
            ErrorCode::InvalidArgument, "expected a typed array");
    require(type == napi_uint16_array || type == napi_float32_array || type == napi_int32_array,
            ErrorCode::InvalidArgument, "expected a Float32Array, an Int32Array or a Uint16Array");
    array.bytes = length * (type == napi_uint16_array ? 2 : 4);
    return array;
  }
};

namespace {

void check_bytes(const Tensor& tensor, const HostArray& array) {
  require(array.bytes == tensor.logical_bytes(), ErrorCode::InvalidShape, "tensor ", tensor.shape(), " of ",
          name_of(tensor.dtype()), " takes ", tensor.logical_bytes(), " bytes, the array has ", array.bytes);
}

TensorPtr empty(Environment& environment, Device device, const Shape& shape, DType dtype) {
  environment.use(*environment.stream(device));
  return std::make_shared<Tensor>(environment.stream(device), shape, dtype);
}

TensorPtr upload(Environment& environment, Device device, const Shape& shape, DType dtype, HostArray host) {
  TensorPtr tensor = empty(environment, device, shape, dtype);
  check_bytes(*tensor, host);
  tensor->stream().upload(host.data, *tensor);
  return tensor;
}

napi_value read(Environment& environment, const Tensor& tensor, HostArray host) {
  check_bytes(tensor, host);
  tensor.stream().download(tensor, host.data);
  return environment.settle_after_queue(tensor.stream(), host.value);
}

void read_sync(Environment& environment, const Tensor& tensor, HostArray host) {
  check_bytes(tensor, host);
  environment.settle_memory();
  tensor.stream().download(tensor, host.data);
  tensor.stream().synchronize();
}

void write(Tensor& tensor, HostArray host) {
  check_bytes(tensor, host);
  tensor.touch();
  tensor.stream().upload(host.data, tensor);
}

std::vector<double> shape_of(const Tensor& tensor) { return {tensor.shape().begin(), tensor.shape().end()}; }

TensorPtr transfer(Environment& environment, const Tensor& x, Device device) {
  TensorPtr y = empty(environment, device, x.shape(), x.dtype());
  y->stream().receive(x, *y);
  return y;
}

napi_value cuda_library(Environment& environment) {
  const Napi::Env env = environment.env();
  const cuda::Library& library = cuda::library();
  const Napi::Object told = Napi::Object::New(env);
  told.Set("library", library.path);
  told.Set("kind", library.kind);
  told.Set("reason", library.found.reason);
  told.Set("runtime", library.found.runtime);
  told.Set("driver", library.found.driver);
  told.Set("cudnn", library.found.cudnn);
  told.Set("cudnnPath", library.found.cudnn_path);
  const Napi::Array devices = Napi::Array::New(env);
  for (const cuda::DeviceProperties& device : library.found.devices) {
    const Napi::Object row = Napi::Object::New(env);
    row.Set("name", device.name);
    row.Set("computeCapability", std::to_string(device.major) + '.' + std::to_string(device.minor));
    row.Set("multiprocessors", device.multiprocessors);
    row.Set("memoryBytes", static_cast<double>(device.memory_bytes));
    const auto index = static_cast<int>(devices.Length());
    row.Set("reason", device.reason.empty() ? environment.failure_of(index) : device.reason);
    row.Set("cudnnReason", library.backend ? library.backend->why_without_cudnn(index) : "");
    devices.Set(devices.Length(), row);
  }
  told.Set("devices", devices);
  return told;
}

std::string device_failure(Environment& environment, Device device) {
  return environment.failure_of(device.index);
}

// Throws DEVICE_UNAVAILABLE.
void open_device(Environment& environment, Device device) { environment.stream(device); }

napi_value synchronize(Environment& environment, Device device, napi_value nothing) {
  return environment.settle_after_queue(*environment.stream(device), nothing);
}

// tensors, bytes, peak bytes, derived bytes, bytes reserved from the system
std::vector<double> memory(Environment& environment, Device device) {
  environment.sweep();
  const Stream& stream = *environment.stream(device);
  return {static_cast<double>(environment.live_handles(stream)), static_cast<double>(stream.use.bytes),
          static_cast<double>(stream.use.peak_bytes), static_cast<double>(stream.use.derived_bytes),
          static_cast<double>(stream.reserved_bytes())};
}

void reset_peak(Environment& environment, Device device) {
  MemoryUse& use = environment.stream(device)->use;
  use.peak_bytes = use.bytes.load();
}

double busy_seconds(Environment& environment, Device device) {
  return environment.stream(device)->busy_seconds();
}

std::vector<std::string> available_isa_names() {
  std::vector<std::string> names;
  for (Isa isa : available_isas()) names.push_back(isa_name(isa));
  return names;
}

napi_value tuning(Environment& environment) {
  const Napi::Env env = environment.env();
  const Napi::Array rows = Napi::Array::New(env);
  for (const AnyRegistry* registry : AnyRegistry::all())
    for (const TunedChoice& choice : registry->tuning.choices()) {
      const Napi::Array row = Napi::Array::New(env, 4);
      row.Set(0u, registry->op());
      row.Set(1u, choice.place);
      row.Set(2u, Napi::Value(env,
                              to_js(env, std::vector<double>(choice.problem.begin(), choice.problem.end()))));
      row.Set(3u, choice.solver);
      rows.Set(rows.Length(), row);
    }
  return rows;
}

// False where this build has no such operator or solver. A choice whose problem never comes is harmless, and
// one that the solver does not accept is not taken.
bool add_tuning(const std::string& op, const std::string& place, const std::vector<int>& problem,
                const std::string& solver) {
  for (AnyRegistry* registry : AnyRegistry::all())
    if (op == registry->op() && registry->may_choose(solver)) {
      registry->tuning.put({place, {problem.begin(), problem.end()}, solver});
      return true;
    }
  return false;
}

napi_value measured_engines(Environment& environment) {
  const Napi::Env env = environment.env();
  const Napi::Array rows = Napi::Array::New(env);
  for (const cuda::MeasuredEngine& engine : cuda::take_measured_engines()) {
    const Napi::Array row = Napi::Array::New(env, 2);
    row.Set(0u, engine.name);
    row.Set(1u, engine.seconds);
    rows.Set(rows.Length(), row);
  }
  return rows;
}

// n, c, h, w, k, r, s, groups, pass, then the geometry's stride, dilation and padding.
// One row per solver: name, seconds of every run in ascending order.
napi_value measure_solvers(Environment& environment, Device device, DType dtype, std::array<int32_t, 17> f,
                           double budget_seconds, const std::string& which) {
  Conv2dProblem problem = conv2d_problem({f[0], f[1], f[2], f[3]}, {f[4], f[1] / f[7], f[5], f[6]},
                                         {{f[9], f[10]}, {f[11], f[12]}, {f[13], f[14], f[15], f[16]}, f[7]});
  problem.pass = static_cast<Conv2dPass>(f[8]);
  problem.dtype = dtype;
  Stream& stream = *environment.stream(device);
  require(stream.computes_in(dtype), ErrorCode::Unsupported, device, ": no arithmetic in ", name_of(dtype));
  conv2d_set_stream(problem, stream);
  const Napi::Env env = environment.env();
  const Napi::Array rows = Napi::Array::New(env);
  for (const Measurement& measured : measure_conv2d(stream, problem, budget_seconds, which)) {
    const Napi::Array row = Napi::Array::New(env, 2), seconds = Napi::Array::New(env);
    for (double run : measured.seconds) seconds.Set(seconds.Length(), run);
    row.Set(0u, measured.solver);
    row.Set(1u, seconds);
    rows.Set(rows.Length(), row);
  }
  return rows;
}

}  // namespace

void bind_device_api(Napi::Env env, Napi::Object exports) {
  // setErrorClass(class): void. Called once, before anything else.
  bind<[](Environment& e, napi_value c) { e.set_error_class(c); }>(env, exports, "setErrorClass");
  // empty(device, shape, dtype): handle. Memory comes with the first write.
  bind<empty>(env, exports, "empty");
  // upload(device, shape, dtype, array): handle
  bind<upload>(env, exports, "upload");
  // read(handle, array): Promise<array>; readSync(handle, array); write(handle, array)
  bind<read>(env, exports, "read");
  bind<read_sync>(env, exports, "readSync");
  bind<write>(env, exports, "write");
  // release(handle)
  bind<[](Environment& e, napi_value handle) { e.release(handle); }>(env, exports, "release");
  // shapeOf(handle): number[]
  bind<shape_of>(env, exports, "shapeOf");
  // transfer(handle, device): handle of a copy there
  bind<transfer>(env, exports, "transfer");
  // cudaLibrary(): what was found, or the reason why not
  bind<cuda_library>(env, exports, "cudaLibrary");
  // openDevice(device): it is opened by whatever first uses it, too
  bind<open_device>(env, exports, "openDevice");
  // deviceFailure(device): why a CUDA device that was opened can't be used any more
  bind<device_failure>(env, exports, "deviceFailure");
  // reshape(handle, shape): handle on the same memory
  bind<[](const Tensor& x, const Shape& shape) { return x.view(shape); }>(env, exports, "reshape");
  // synchronize(device, undefined): Promise<undefined>
  bind<synchronize>(env, exports, "synchronize");
  // memory(device): [tensors, bytes, peakBytes, derivedBytes, reservedBytes]; resetPeak(device)
  bind<memory>(env, exports, "memory");
  bind<reset_peak>(env, exports, "resetPeak");
  // busySeconds(device): number
  bind<busy_seconds>(env, exports, "busySeconds");
  // isa(): string; isas(): string[]; threads(): number; setThreads(n)
  bind<[] { return std::string(isa_name(active_isa())); }>(env, exports, "isa");
  bind<available_isa_names>(env, exports, "isas");
  bind<[] { return double(thread_count()); }>(env, exports, "threads");
  bind<set_thread_count>(env, exports, "setThreads");
  // solvers(op, device): string[], in order of preference; forceSolver(op, name | '')
  bind<[](const std::string& op, Device device) { return AnyRegistry::find(op).solver_names(device.kind); }>(
      env, exports, "solvers");
  bind<[](const std::string& op, const std::string& name) { AnyRegistry::find(op).force(name); }>(
      env, exports, "forceSolver");
  // setAllowTF32(on); setDeterministic(on)
  bind<[](bool on) { cuda::addon_settings().allow_tf32 = on; }>(env, exports, "setAllowTF32");
  bind<[](bool on) { cuda::addon_settings().deterministic = on; }>(env, exports, "setDeterministic");
  // setAutotune(on); tuning(): [op, place, problem, solver][]; addTuning(op, place, problem, solver):
  // boolean; clearTuning()
  bind<[](bool on) { autotune_enabled = on; }>(env, exports, "setAutotune");
  bind<tuning>(env, exports, "tuning");
  bind<add_tuning>(env, exports, "addTuning");
  bind<[] {
    for (AnyRegistry* registry : AnyRegistry::all()) registry->tuning.clear();
  }>(env, exports, "clearTuning");
  // measuredEngines(): [name, seconds][], cuDNN's engines for the problem that was autotuned last, once
  bind<measured_engines>(env, exports, "measuredEngines");
  // measureSolvers(device, dtype, Int32Array(17), seconds, name | 'chosen' | ''): [name, seconds of every
  // run][]
  bind<measure_solvers>(env, exports, "measureSolvers");
  // measurePeak(threads): FLOP/s; measureBandwidth(threads): bytes/s
  bind<measure_peak>(env, exports, "measurePeak");
  bind<measure_bandwidth>(env, exports, "measureBandwidth");
}

}  // namespace groupconv
