// A device is a kind and an index: cpu, cuda, cuda:1.
#pragma once
#include <cstdint>
#include <ostream>

namespace groupconv {

enum class DeviceKind : uint8_t { Cpu, Cuda };

struct Device {
  DeviceKind kind = DeviceKind::Cpu;
  int index = 0;
  friend bool operator==(Device a, Device b) { return a.kind == b.kind && a.index == b.index; }
  friend std::ostream& operator<<(std::ostream& out, Device device) {
    return device.kind == DeviceKind::Cpu ? out << "cpu" : out << "cuda:" << device.index;
  }
};

}  // namespace groupconv
