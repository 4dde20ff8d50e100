#include "recording_api.h"

#include "bind.h"
#include "core/recording.h"

namespace groupconv {
namespace {

using RecordingPtr = std::shared_ptr<Recording>;
constexpr napi_type_tag kRecordingTag = {0x8b3e61f07c2d4a95, 0xd04f9a1b6e57c382};

napi_value wrap(napi_env env, RecordingPtr recording) {
  auto held = std::make_unique<RecordingPtr>(std::move(recording));
  const auto external = Napi::External<RecordingPtr>::New(
      env, held.get(), [](Napi::Env, RecordingPtr* forgotten) { delete forgotten; });
  held.release();
  napi_type_tag_object(env, external, &kRecordingTag);
  return external;
}

RecordingPtr& unwrap(napi_env env, napi_value value) {
  napi_valuetype type;
  bool ours = false;
  napi_typeof(env, value, &type);
  if (type == napi_external) napi_check_object_type_tag(env, value, &kRecordingTag, &ours);
  require(ours, ErrorCode::InvalidArgument, "expected a recording");
  void* held;
  napi_get_value_external(env, value, &held);
  return *static_cast<RecordingPtr*>(held);
}

}  // namespace

template <>
struct From<Recording&> {
  static Recording& read(Arguments& a) {
    const RecordingPtr& recording = unwrap(a.env, a.take());
    require(recording != nullptr, ErrorCode::Disposed, "the recording has been disposed");
    return *recording;
  }
};

namespace {

void replay(Environment& environment, Recording& recording) {
  require(!environment.records(), ErrorCode::InvalidArgument,
          "capture: a captured function is called inside of a capture");
  recording.replay();
}

}  // namespace

void bind_recording_api(Napi::Env env, Napi::Object exports) {
  // beginRecording(); pauseRecording(paused); cancelRecording(); endRecording(): recording
  bind<[](Environment& e) { e.begin_recording(); }>(env, exports, "beginRecording");
  bind<[](Environment& e, bool paused) { e.pause_recording(paused); }>(env, exports, "pauseRecording");
  bind<[](Environment& e) { e.cancel_recording(); }>(env, exports, "cancelRecording");
  bind<[](Environment& e) { return wrap(e.env(), e.end_recording()); }>(env, exports, "endRecording");
  // checkRecording(recording); replay(recording); recordingBytes(recording): number;
  // releaseRecording(recording)
  bind<[](Recording& recording) { recording.check(); }>(env, exports, "checkRecording");
  bind<replay>(env, exports, "replay");
  bind<[](Recording& recording) { return static_cast<double>(recording.bytes()); }>(env, exports,
                                                                                    "recordingBytes");
  bind<[](Environment& e, napi_value recording) { unwrap(e.env(), recording).reset(); }>(env, exports,
                                                                                         "releaseRecording");
}

}  // namespace groupconv
