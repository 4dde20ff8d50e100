#include "core/tensor.h"

#include <atomic>

namespace groupconv {

std::shared_ptr<Stream::Staged> Stream::stage(const Tensor& from) {
  Stream& source = from.stream();
  auto staged = std::make_shared<Staged>();
  staged->bytes = from.logical_bytes();
  staged->data = std::make_unique_for_overwrite<char[]>(staged->bytes);
  source.download(from, staged->data.get());
  // The notice follows the download at once: waiting for it is waiting for nothing that was queued later.
  // The source alone holds the promise: if it is stopped, the promise breaks and nobody waits for ever.
  auto promise = std::make_shared<std::promise<std::unique_ptr<Error>>>();
  staged->arrived = promise->get_future();
  source.notify([staged, promise = std::move(promise)](const Error* error) {
    promise->set_value(error ? std::make_unique<Error>(*error) : nullptr);
  });
  return staged;
}

void Stream::Staged::wait() {
  if (const std::unique_ptr<Error> error = arrived.get()) throw *error;
}

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
}

int64_t Tensor::physical_size(const Shape& shape, int block) {
  if (block == 1) return shape.size();
  const int64_t blocks = (shape[1] + block - 1) / block;
  return shape[0] * blocks * block * shape[2] * shape[3];  // [N, C/B, H, W, B]
}

void Tensor::bring_into(int block) const {
  require(has_memory(), ErrorCode::DeviceFailure, "tensor ", shape_, " is read before it was written");
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
  // Memory shared with a view is left to the view.
  if (!storage_ || storage_.use_count() > 1 || storage_->bytes() != bytes) {
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
  if (!storage_ || storage_.use_count() > 1 || block_ != block) return nullptr;
  auto result = std::make_shared<Tensor>(stream_, shape_, dtype_);
  result->storage_ = std::move(storage_);
  result->block_ = block_;
  return result;
}

Stamp::Stamp(std::initializer_list<const Tensor*> tensors, float number) : number_(number) {
  require(tensors.size() * 2 <= tensors_.size(), ErrorCode::InvalidArgument, "stamp of ", tensors.size(),
          " tensors");
  auto word = tensors_.begin();
  for (const Tensor* tensor : tensors) {
    *word++ = tensor ? tensor->id() : 0;
    *word++ = tensor ? tensor->version() : 0;
  }
}

const float* Tensor::derived(const std::string& key, const Stamp& stamp, size_t bytes,
                             const std::function<void(float*)>& make) const {
  Derived& entry = derived_[key];
  if (!entry.storage || !(entry.stamp == stamp)) {
    if (!entry.storage || entry.storage->bytes() != bytes) {
      entry.storage.reset();
      entry.storage = std::make_unique<Storage>(stream_, bytes, bytes, Storage::Kind::Derived);
    }
    make(static_cast<float*>(entry.storage->data()));
    entry.stamp = stamp;
  }
  return static_cast<const float*>(entry.storage->data());
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
