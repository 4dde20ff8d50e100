#include "cuda/cudnn/descriptor.h"

#include <algorithm>

namespace groupconv::cuda::cudnn {

void check(Status status, const char* what) {
  if (status == kSuccess) return;
  const bool asked_too_much = status / 1000 * 1000 == kNotSupported;
  const bool is_full = status == kHostAllocationFailed || status == kDeviceAllocationFailed;
  fail(asked_too_much ? ErrorCode::Unsupported
       : is_full      ? ErrorCode::OutOfMemory
                      : ErrorCode::DeviceFailure,
       "cuDNN: ", what, ": ", library().functions.get_error_string(status));
}

Descriptor::Descriptor(DescriptorKind kind) {
  check(library().functions.create_descriptor(kind, &raw_), "descriptor");
}

Descriptor& Descriptor::set(Attribute attribute, Type type, const void* elements, int64_t count) {
  check(library().functions.set_attribute(raw_, attribute, type, count, elements), "attribute");
  return *this;
}

Descriptor& Descriptor::finalize() {
  const Status status = library().functions.finalize(raw_);
  // Some graphs it calls wrong, others unsupported.
  check(status / 1000 * 1000 == kBadParameter ? kNotSupported : status, "finalize");
  return *this;
}

int64_t Descriptor::get(Attribute attribute) const {
  int64_t value = 0, found = 0;
  check(library().functions.get_attribute(raw_, attribute, Type::Int64, 1, &found, &value), "reading");
  return value;
}

std::vector<int> Descriptor::get_ints(Attribute attribute, Type type, int64_t most) const {
  std::vector<int> values(static_cast<size_t>(most));
  int64_t found = 0;
  check(library().functions.get_attribute(raw_, attribute, type, most, &found, values.data()), "reading");
  values.resize(static_cast<size_t>(std::min(found, most)));
  return values;
}

std::vector<Descriptor> Descriptor::get_descriptors(Attribute attribute, DescriptorKind kind,
                                                    int64_t most) const {
  std::vector<Descriptor> descriptors;
  std::vector<RawDescriptor> raws;
  for (int64_t i = 0; i < most; ++i) raws.push_back(descriptors.emplace_back(kind).raw());
  int64_t found = 0;
  check(library().functions.get_attribute(raw_, attribute, Type::Descriptor, most, &found, raws.data()),
        "reading");
  while (static_cast<int64_t>(descriptors.size()) > found) descriptors.pop_back();
  return descriptors;
}

std::string Descriptor::get_text(Attribute attribute) const {
  int64_t size = 0;
  check(library().functions.get_attribute(raw_, attribute, Type::Character, 0, &size, nullptr), "reading");
  std::string text(static_cast<size_t>(size), '\0');
  check(library().functions.get_attribute(raw_, attribute, Type::Character, size, &size, text.data()),
        "reading");
  return text.substr(0, text.find('\0'));
}

int64_t Descriptor::count(Attribute attribute) const {
  int64_t found = 0;
  check(library().functions.get_attribute(raw_, attribute, Type::Descriptor, 0, &found, nullptr), "counting");
  return found;
}

}  // namespace groupconv::cuda::cudnn
