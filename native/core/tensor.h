// A tensor: logical shape (N C H W above the kernels), element type, and memory on one stream.
//
// `block` is the physical layout. 1: row-major. B > 1, 4-D only: N C/B H W B, where the lanes past C are
// zero. The layout may change under a tensor (`in_layout`), its value never does.
#pragma once
#include <array>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "core/dtype.h"
#include "core/shape.h"
#include "core/stream.h"

namespace groupconv {

class Tensor;
using TensorPtr = std::shared_ptr<Tensor>;

// Whether a backward operator replaces its target or adds to it.
enum class GradMode : uint8_t { Overwrite, Accumulate };

// Where a backward operator writes one of its gradients; a null tensor: this gradient isn't wanted.
struct GradTarget {
  Tensor* tensor = nullptr;
  GradMode mode = GradMode::Overwrite;
};

class Storage {
 public:
  enum class Kind { Tensor, Derived };
  // `logical_bytes` is what it counts for in the stream's MemoryUse.
  Storage(std::shared_ptr<Stream> stream, size_t bytes, size_t logical_bytes, Kind kind = Kind::Tensor);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  // Of those who share it, how many are recordings: they don't keep it from being overwritten.
  int recordings = 0;

 private:
  std::shared_ptr<Stream> stream_;
  void* data_;
  size_t bytes_, logical_bytes_;
  Kind kind_;
};

// Where a tensor's elements are, and in which layout.
struct Form {
  std::shared_ptr<Storage> storage;
  int block = 1;
};

// What a derived form was made from: the identities and versions of up to six tensors (null where one is
// absent), and a number.
class Stamp {
 public:
  explicit Stamp(std::initializer_list<const Tensor*> tensors, float number = 0);
  bool operator==(const Stamp&) const = default;
  const std::array<uint64_t, 6>& ids() const { return ids_; }  // 0 where one is absent
  // The same tensors as they are now.
  Stamp renewed(const std::function<uint64_t(uint64_t id)>& version_of) const;

 private:
  std::array<uint64_t, 6> ids_{}, versions_{};
  float number_;
};

class Tensor : public std::enable_shared_from_this<Tensor> {
 public:
  // Memory comes with the first writer, which decides the layout.
  Tensor(std::shared_ptr<Stream> stream, const Shape& shape, DType dtype);

  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }
  Stream& stream() const { return *stream_; }
  const std::shared_ptr<Stream>& shared_stream() const { return stream_; }
  int block() const { return block_; }
  bool has_memory() const { return storage_ != nullptr; }
  int64_t size() const { return shape_.size(); }
  size_t logical_bytes() const { return static_cast<size_t>(size()) * size_of(dtype_); }
  // Elements in memory, pad lanes included.
  int64_t physical_size() const { return physical_size(shape_, block_); }
  static int64_t physical_size(const Shape& shape, int block);

  // The block in which activation operators want this tensor: the device's for 4-D, 1 otherwise.
  int activation_block() const { return shape_.rank() == 4 ? stream_->activation_block(shape_[1]) : 1; }

  // Readers: brings the tensor into the layout (once) and returns its memory.
  template <class T = float>
  const T* in_layout(int block) const {
    bring_into(block);
    return static_cast<const T*>(storage_->data());
  }
  // In-place writers: keeps the value, raises the version.
  template <class T = float>
  T* update_in_layout(int block) {
    bring_into(block);
    touch();
    return static_cast<T*>(storage_->data());
  }
  // Writers of a whole tensor: old contents are lost unless `mode` accumulates onto them.
  template <class T = float>
  T* target_in_layout(int block, GradMode mode = GradMode::Overwrite) {
    if (mode == GradMode::Accumulate) return update_in_layout<T>(block);
    prepare_to_overwrite(block);
    return static_cast<T*>(storage_->data());
  }

  // A tensor of another shape on the same memory; both row-major, same number of elements.
  TensorPtr view(const Shape& shape) const;

  // Never used twice in a process.
  uint64_t id() const { return id_; }
  // Raised by every write; derived forms (packed, folded) are kept only for the version they were made from.
  uint64_t version() const { return version_; }
  void touch() {
    ++version_;
    drop_stale();
    if (Recording* recording = stream_->recording()) tell_write(*recording);
  }

  // A tensor of the same value and layout that takes the memory along, if it is no view's and has the layout;
  // else null. This one is left without memory.
  TensorPtr give_memory(int block);

  // Memory of a derived form of this parameter, cached under `key` for as long as `stamp` stays the same.
  // `make(float*)` submits the work that fills it.
  template <class Make>
  const float* derived(std::string_view key, const Stamp& stamp, size_t bytes, const Make& make) const {
    const auto found = derived_.find(key);
    const bool present = found != derived_.end() && found->second.stamp == stamp && !stream_->recording();
    return present ? found->second.memory() : renewed(key, stamp, bytes, make);
  }

  // What its maker found out about this version, for one reader that asks for it.
  void attach(std::shared_ptr<Storage> finding) {
    finding_ = std::move(finding), finding_version_ = version_;
  }
  // Null where there is nothing, or the tensor was written since, or a replay would not find it.
  std::shared_ptr<Storage> take_attached() const;

  // For recordings. The number of the one this tensor was made in, or 0.
  uint64_t made_in() const { return made_in_; }
  Form form() const { return {storage_, block_}; }
  void set_form(const Form& form) const { storage_ = form.storage, block_ = form.block; }
  // Takes the value along.
  void move_into(const Form& form) const;
  // Whether the derived form was made of something else; it is about to be made again.
  bool set_derived(std::string_view key, const Stamp& stamp) const;

 private:
  struct Derived {
    Stamp stamp{{}};
    std::shared_ptr<Storage> storage;
    float* memory() const { return static_cast<float*>(storage->data()); }
  };
  const float* renewed(std::string_view key, const Stamp& stamp, size_t bytes,
                       const std::function<void(float*)>& make) const;
  bool shares_memory() const;
  // Derived forms of an older version make room, but for those that a recording fills again.
  void drop_stale();
  void tell_write(Recording& recording) const;
  void bring_into(int block) const;
  void prepare_to_overwrite(int block);

  std::shared_ptr<Stream> stream_;
  Shape shape_;
  DType dtype_;
  uint64_t id_;
  uint64_t version_ = 0, made_in_ = 0, finding_version_ = 0;
  // The physical form is a cache of the logical value: readers may change it.
  mutable int block_ = 1;
  mutable std::shared_ptr<Storage> storage_;
  mutable std::map<std::string, Derived, std::less<>> derived_;
  mutable std::shared_ptr<Storage> finding_;
};

// What operators ask of their arguments' dtypes: activations have one in which their device computes
// (UNSUPPORTED), and one and the same (INVALID_ARGUMENT); parameters and their gradients are float32
// (UNSUPPORTED).
void require_computable(const char* op, const char* name, const Tensor& activation);
void require_same_dtype(const char* op, const char* name, const Tensor& activation, DType expected);
void require_float32(const char* op, const char* name, const Tensor& parameter);

// The output of an operator: a fresh tensor with memory in the given layout.
TensorPtr make_tensor(const std::shared_ptr<Stream>& stream, const Shape& shape, DType dtype, int block = 1);
// The same, in the device's layout for its shape.
TensorPtr make_activation(const std::shared_ptr<Stream>& stream, const Shape& shape, DType dtype);

}  // namespace groupconv
