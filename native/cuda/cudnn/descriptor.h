// A cuDNN descriptor: made, given attributes, finalized, used, destroyed. What cuDNN refuses is thrown:
// UNSUPPORTED where it can't do what was asked (another engine or graph may), else DEVICE_FAILURE.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "cuda/cudnn/library.h"

namespace groupconv::cuda::cudnn {

// `what` names the step in the message.
void check(Status status, const char* what);

class Descriptor {
 public:
  explicit Descriptor(DescriptorKind kind);
  ~Descriptor() {
    if (raw_) library().functions.destroy_descriptor(raw_);
  }
  Descriptor(Descriptor&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(raw_, other.raw_);
    return *this;
  }
  RawDescriptor raw() const { return raw_; }

  Descriptor& set(Attribute attribute, Type type, const void* elements, int64_t count = 1);
  Descriptor& set(Attribute attribute, Type type, int value) { return set(attribute, type, &value); }
  Descriptor& set(Attribute attribute, DataType value) { return set(attribute, Type::DataType, &value); }
  Descriptor& set(Attribute attribute, int64_t value) { return set(attribute, Type::Int64, &value); }
  Descriptor& set(Attribute attribute, float value) { return set(attribute, Type::Float, &value); }
  Descriptor& set(Attribute attribute, double value) { return set(attribute, Type::Double, &value); }
  Descriptor& set(Attribute attribute, bool value) { return set(attribute, Type::Boolean, &value); }
  Descriptor& set(Attribute attribute, const Descriptor& value) {
    return set(attribute, Type::Descriptor, &value.raw_);
  }
  Descriptor& set(Attribute attribute, const std::vector<int64_t>& values) {
    return set(attribute, Type::Int64, values.data(), static_cast<int64_t>(values.size()));
  }
  Descriptor& finalize();

  // Attributes of a finalized descriptor.
  int64_t get(Attribute attribute) const;
  // At most `most` ints: notes.
  std::vector<int> get_ints(Attribute attribute, Type type, int64_t most) const;
  // Descriptors of a kind, at most `most` of them: filled in by cuDNN and finalized.
  std::vector<Descriptor> get_descriptors(Attribute attribute, DescriptorKind kind, int64_t most) const;
  std::string get_text(Attribute attribute) const;
  // How many there are.
  int64_t count(Attribute attribute) const;

 private:
  RawDescriptor raw_ = nullptr;
};

}  // namespace groupconv::cuda::cudnn
