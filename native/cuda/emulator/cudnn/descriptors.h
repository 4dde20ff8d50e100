// The stand-in's descriptors: attributes as they were set, checked when they are finalized.
#pragma once
#include <cstring>
#include <exception>
#include <map>
#include <string>
#include <vector>

#include "cuda/cudnn/abi.h"

namespace standin {

using namespace groupconv::cuda::cudnn;

// Thrown as the status that a function then returns.
struct Refusal : std::exception {
  explicit Refusal(Status status) : status(status) {}
  const char* what() const noexcept override { return "the stand-in for cuDNN refuses"; }
  Status status;
};
inline void demand(bool holds, Status otherwise = kBadParameter) {
  if (!holds) throw Refusal{otherwise};
}

struct Value {
  Type type;
  int64_t count = 0;
  std::vector<unsigned char> bytes;
};

struct Descriptor {
  DescriptorKind kind;
  bool finalized = false;
  std::map<Attribute, Value> attributes;
  // Of heuristics: what they found. Of an engine and its configuration: copies, made when they are read.
  std::vector<Descriptor> results;

  bool has(Attribute attribute) const { return attributes.count(attribute) != 0; }
  template <class T>
  std::vector<T> all(Attribute attribute, Type type) const {
    demand(has(attribute));
    const Value& value = attributes.at(attribute);
    demand(value.type == type);
    std::vector<T> values(static_cast<size_t>(value.count));
    std::memcpy(values.data(), value.bytes.data(), value.bytes.size());
    return values;
  }
  template <class T>
  T one(Attribute attribute, Type type) const {
    const std::vector<T> values = all<T>(attribute, type);
    demand(values.size() == 1);
    return values.front();
  }
  int64_t number(Attribute attribute) const { return one<int64_t>(attribute, Type::Int64); }
  std::vector<int64_t> numbers(Attribute attribute) const { return all<int64_t>(attribute, Type::Int64); }
  DataType data_type(Attribute attribute) const {
    return static_cast<DataType>(one<int>(attribute, Type::DataType));
  }
  const Descriptor& child(Attribute attribute, DescriptorKind kind) const {
    const auto* child = one<const Descriptor*>(attribute, Type::Descriptor);
    demand(child && child->finalized && child->kind == kind);
    return *child;
  }
  void put(Attribute attribute, Type type, const void* elements, int64_t count);
};

// What the documentation demands of each kind; throws a Refusal.
void check(const Descriptor& descriptor);

// A tensor of a graph.
struct Tensor {
  explicit Tensor(const Descriptor& descriptor);
  int64_t id, alignment;
  DataType type;
  bool is_virtual;
  std::vector<int64_t> extents, strides;
  int64_t size() const;
};
size_t size_of(DataType type);

// A convolution's parts, by the names of the forward pass.
struct ConvolutionOf {
  explicit ConvolutionOf(const Descriptor& operation);
  Tensor x, w, y;
  std::vector<int64_t> before, after, stride, dilation;
  int64_t groups() const { return x.extents[1] / w.extents[1]; }
  const Tensor& result(DescriptorKind kind) const;
};
bool is_convolution(DescriptorKind kind);

std::vector<const Descriptor*> operations_of(const Descriptor& graph);

// The descriptor and all that it refers to, as text.
std::string described(const Descriptor& descriptor, const std::string& indent = "");

}  // namespace standin
