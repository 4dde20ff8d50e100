// GPUs that aren't there, as cuDNN's device properties tell them (since 9.8, for planning ahead of time): one
// of each architecture that the library is compiled for. The numbers are NVIDIA's for these products.
#pragma once
#include <cstdint>
#include <sstream>
#include <string>

namespace groupconv::cuda::deviceless {

struct Gpu {
  const char* name;
  int architecture;                      // 90: compute capability 9.0
  int multiprocessors, threads, blocks;  // the latter two: at most, on a multiprocessor
  int shared_bytes;                      // that a block may ask for
  int l2_bytes, clock_khz, memory_khz, memory_bits;
  int gigabytes;
};

constexpr Gpu kGpus[] = {
    {"A100", 80, 108, 2048, 32, 166912, 41943040, 1410000, 1593000, 5120, 80},
    {"A10", 86, 72, 1536, 16, 101376, 6291456, 1695000, 6251000, 384, 24},
    {"L4", 89, 58, 1536, 24, 101376, 50331648, 2040000, 6251000, 192, 24},
    {"H100", 90, 132, 2048, 32, 232448, 52428800, 1980000, 2619000, 5120, 80},
    {"B200", 100, 148, 2048, 32, 232448, 132644864, 1965000, 3996000, 7680, 180},
    {"RTX 5090", 120, 170, 1536, 24, 101376, 100663296, 2407000, 14001000, 512, 32},
};

// What CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION reads.
inline std::string to_json(const Gpu& gpu) {
  std::ostringstream json;
  json << R"({"deviceName":"NVIDIA )" << gpu.name << R"(","cudaDeviceId":0,"pciDeviceId":0,"driverVer":13000)"
       << R"(,"deviceVer":)" << gpu.architecture * 10 << R"(,"multiProcessorCount":)" << gpu.multiprocessors
       << R"(,"smCountOrigin":0,"warpSize":32,"maxGridSize":[2147483647,65535,65535])"
       << R"(,"maxBlockSize":[1024,1024,64],"maxThreadsPerBlock":1024,"maxThreadsPerSM":)" << gpu.threads
       << R"(,"maxCtasPerSM":)" << gpu.blocks << R"(,"regsPerBlock":65536,"maxRegistersPerSM":65536)"
       << R"(,"maxSharedMemoryPerBlock":49152,"maxSharedMemoryPerBlockOptin":)" << gpu.shared_bytes
       << R"(,"reservedSharedMemoryPerBlock":1024,"oversizedSharedMemoryPerBlock":0)"
       << R"(,"isTccDriver":0,"supportCoopLaunch":1,"totalGlobalMem":)" << (int64_t{gpu.gigabytes} << 30)
       << R"(,"smClockRateKHz":)" << gpu.clock_khz << R"(,"memClockRateKHz":)" << gpu.memory_khz
       << R"(,"memoryBusWidth":)" << gpu.memory_bits << R"(,"l2CacheSize":)" << gpu.l2_bytes << '}';
  return json.str();
}

}  // namespace groupconv::cuda::deviceless
