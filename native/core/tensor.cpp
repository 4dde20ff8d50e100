#include "core/tensor.h"

#include <atomic>
#include <utility>

#include "core/recording.h"

namespace groupconv {

Storage::Storage(std::shared_ptr<Stream> stream, size_t bytes, size_t logical_bytes, Kind kind)
    : stream_(std::move(stream)),
      data_(stream_->allocate(bytes)),
      bytes_(bytes),
      logical_bytes_(logical_bytes),
      kind_(kind) {
  MemoryUse& use = stream_->use;
  if (kind_ == Kind::Derived) {
    use.derived_bytes += static_cast<int64_t>(logical_bytes_);
    return;
  }
  const int64_t now = use.bytes += static_cast<int64_t>(logical_bytes_);
  if (now > use.peak_bytes) use.peak_bytes = now;  // only the thread that owns the stream allocates
}

Storage::~Storage() {
  (kind_ == Kind::Derived ? stream_->use.derived_bytes : stream_->use.bytes) -=
      static_cast<int64_t>(logical_bytes_);
  stream_->release(data_, bytes_);
}

Tensor::Tensor(std::shared_ptr<Stream> stream, const Shape& shape, DType dtype)
    : stream_(std::move(stream)), shape_(shape), dtype_(dtype) {
  static std::atomic<uint64_t> made{0};
  id_ = ++made;
  if (const Recording* recording = stream_->recording()) made_in_ = recording->number();
}

void Tensor::tell_write(Recording& recording) const { recording.wrote(*this); }

bool Tensor::shares_memory() const { return storage_.use_count() - storage_->recordings > 1; }

void Tensor::drop_stale() {
  std::erase_if(derived_, [](const auto& entry) { return entry.second.storage.use_count() == 1; });
}

int64_t Tensor::physical_size(const Shape& shape, int block) {
  if (block == 1) return shape.size();
  const int64_t blocks = (shape[1] + block - 1) / block;
  return shape[0] * blocks * block * shape[2] * shape[3];  // [N, C/B, H, W, B]
}

void Tensor::bring_into(int block) const {
  require(has_memory(), ErrorCode::DeviceFailure, "tensor ", shape_, " is read before it was written");
  if (Recording* recording = stream_->recording()) recording->meet(*this);
  if (block == block_) return;
  // Channels alone, or whole blocks of them for one pixel each: every layout is the same one.
  if (shape_[2] * shape_[3] == 1 && shape_[1] % block == 0 && shape_[1] % block_ == 0) {
    block_ = block;
    return;
  }
  Tensor converted(stream_, shape_, dtype_);
  converted.prepare_to_overwrite(block);
  stream_->relayout(*this, converted);
  storage_ = std::move(converted.storage_);
  block_ = block;
}

void Tensor::prepare_to_overwrite(int block) {
  const size_t bytes = static_cast<size_t>(physical_size(shape_, block)) * size_of(dtype_);
  if (Recording* recording = stream_->recording()) recording->meet(*this);
  // Memory shared with a view is left to the view.
  if (!storage_ || shares_memory() || storage_->bytes() != bytes) {
    storage_.reset();
    storage_ = std::make_shared<Storage>(stream_, bytes, logical_bytes());
  }
  block_ = block;
  touch();
}

TensorPtr Tensor::view(const Shape& shape) const {
  require(shape.size() == size(), ErrorCode::InvalidShape, "reshape: ", shape_, " has ", size(),
          " elements, ", shape, " has ", shape.size());
  bring_into(1);
  auto result = std::make_shared<Tensor>(stream_, shape, dtype_);
  result->storage_ = storage_;
  return result;
}

TensorPtr Tensor::give_memory(int block) {
  if (!storage_ || shares_memory() || block_ != block) return nullptr;
  auto result = std::make_shared<Tensor>(stream_, shape_, dtype_);
  result->storage_ = std::move(storage_);
  result->block_ = block_;
  return result;
}

void Tensor::move_into(const Form& form) const {
  if (storage_ == form.storage && block_ == form.block) return;
  // In two steps where the memory is the same, or neither layout is row-major.
  if (storage_ == form.storage || (block_ != 1 && form.block != 1)) bring_into(block_ == 1 ? form.block : 1);
  if (storage_ == form.storage && block_ == form.block) return;
  Tensor moved(stream_, shape_, dtype_);
  moved.set_form(form);
  stream_->relayout(*this, moved);
  set_form(form);
}

Stamp::Stamp(std::initializer_list<const Tensor*> tensors, float number) : number_(number) {
  require(tensors.size() <= ids_.size(), ErrorCode::InvalidArgument, "stamp of ", tensors.size(), " tensors");
  size_t i = 0;
  for (const Tensor* tensor : tensors) {
    ids_[i] = tensor ? tensor->id() : 0;
    versions_[i++] = tensor ? tensor->version() : 0;
  }
}

Stamp Stamp::renewed(const std::function<uint64_t(uint64_t)>& version_of) const {
  Stamp now = *this;
  for (size_t i = 0; i < ids_.size(); ++i)
    if (ids_[i]) now.versions_[i] = version_of(ids_[i]);
  return now;
}

const float* Tensor::renewed(std::string_view key, const Stamp& stamp, size_t bytes,
                             const std::function<void(float*)>& make) const {
  Derived& entry = derived_.try_emplace(std::string(key)).first->second;
  if (!entry.storage || entry.storage->bytes() != bytes) {
    const PausedRecording paused(*stream_);  // it lives from replay to replay
    entry = Derived();
    entry.storage = std::make_shared<Storage>(stream_, bytes, bytes, Storage::Kind::Derived);
  }
  float* const memory = entry.memory();
  if (Recording* recording = stream_->recording())
    recording->prepare(*this, key, stamp, entry.storage, [&] { make(memory); });
  else
    make(memory);
  entry.stamp = stamp;
  return memory;
}

std::shared_ptr<Storage> Tensor::take_attached() const {
  const Recording* recording = stream_->recording();
  if (finding_version_ != version_ || (recording && made_in_ != recording->number())) return nullptr;
  return std::exchange(finding_, nullptr);
}

bool Tensor::set_derived(std::string_view key, const Stamp& stamp) const {
  Stamp& present = derived_.find(key)->second.stamp;
  if (present == stamp) return false;
  present = stamp;
  return true;
}

void require_computable(const char* op, const char* name, const Tensor& activation) {
  const DType dtype = activation.dtype();
  require(activation.stream().computes_in(dtype), ErrorCode::Unsupported, op, ": ", name, " is ",
          name_of(dtype), ", float32 is needed", dtype == DType::Int32 ? "" : " on this device");
}

void require_same_dtype(const char* op, const char* name, const Tensor& activation, DType expected) {
  require(activation.dtype() == expected, ErrorCode::InvalidArgument, op, ": ", name, " is ",
          name_of(activation.dtype()), " beside ", name_of(expected));
}

void require_float32(const char* op, const char* name, const Tensor& parameter) {
  require(parameter.dtype() == DType::Float32, ErrorCode::Unsupported, op, ": ", name, " is ",
          name_of(parameter.dtype()), ", float32 is needed");
}

TensorPtr make_tensor(const std::shared_ptr<Stream>& stream, const Shape& shape, DType dtype, int block) {
  auto tensor = std::make_shared<Tensor>(stream, shape, dtype);
  tensor->target_in_layout<void>(block);
  return tensor;
}

TensorPtr make_activation(const std::shared_ptr<Stream>& stream, const Shape& shape, DType dtype) {
  return make_tensor(stream, shape, dtype, shape.rank() == 4 ? stream->activation_block(shape[1]) : 1);
}

}  // namespace groupconv
