// Matrix instructions against plain sums, and copies that are on their way.
#include "cuda/warp_matrix.h"

#include "core/check.h"
#include "cuda/async_copy.h"
#include "cuda/device.testing.h"
#include "cuda/engine.h"
#include "cuda/launch.h"

namespace groupconv {
namespace {

using namespace cuda;

constexpr int kRows = 16, kColumns = 8;

// c = a b: a [16, k] row-major by ldmatrix; b as [8, k], its words by lane.
template <class T>
__global__ void product(const T* a, const T* b, float* c) {
  constexpr int kDepth = kStepElements<T>;
  T* const rows = shared_memory<T>();  // [16, k]
  const int lane = threadIdx.x;
  for (int i = lane; i < kRows * kDepth; i += 32) rows[i] = a[i];
  __syncthreads();
  const FragmentA left = load_rows<T>(rows + lane % 16 * kDepth + lane / 16 * (kDepth / 2));
  FragmentB right;
  for (int word = 0; word < 2; ++word)
    right.word[word] = reinterpret_cast<const uint32_t*>(b + lane / 4 * kDepth)[lane % 4 + 4 * word];
  float sum[4] = {1, 2, 3, 4};
  multiply<T>(sum, left, right);
  for (int i = 0; i < 4; ++i)
    c[(lane / 4 + i / 2 * 8) * kColumns + lane % 4 * 2 + i % 2] = sum[i] - static_cast<float>(i + 1);
}

// c = a b from a [k, 16] and b [k, 8]: both transposed on their way, b's columns 8 to 15 unused.
template <class T>
__global__ void product_of_transposed(const T* a, const T* b, float* c) {
  constexpr int kDepth = 16;
  T* const left_rows = shared_memory<T>();           // [k, 16]
  T* const right_rows = left_rows + kDepth * kRows;  // [k, 16]
  const int lane = threadIdx.x;
  for (int i = lane; i < kDepth * 16; i += 32) {
    left_rows[i] = a[i];
    right_rows[i] = b[i / 16 * kColumns + i % 8];
  }
  __syncthreads();
  const FragmentA left =
      load_matrices_transposed(left_rows + (lane % 8 + lane / 16 * 8) * 16 + lane / 8 % 2 * 8);
  const FragmentA both = load_matrices_transposed(right_rows + lane % 16 * 16 + lane / 16 * 8);
  float sum[4] = {};
  multiply<T>(sum, left, {{both.word[0], both.word[1]}});
  for (int i = 0; i < 4; ++i) c[(lane / 4 + i / 2 * 8) * kColumns + lane % 4 * 2 + i % 2] = sum[i];
}

// y[i] = x[i + 4], four at a time, zeros past the end; copied in two groups, the later one awaited second.
__global__ void copy_both(const float* x, float* y, int count, float* before) {
  float* const stage = shared_memory<float>();
  const int at = 4 * threadIdx.x;
  for (int i = 0; i < 8; ++i) stage[at + i / 4 * 128 + i % 4] = -1;
  copy_async(stage + at, x + at, at < count);
  commit_copies();
  copy_async(stage + 128 + at, x + at, false);
  commit_copies();
  before[threadIdx.x] = stage[128 + at];
  wait_copies<1>();
  for (int i = 0; i < 4; ++i) y[at + i] = stage[at + i];
  wait_copies<0>();
  __syncthreads();
  for (int i = 0; i < 4; ++i) y[128 + at + i] = stage[128 + at + i];
}

struct Device {
  std::unique_ptr<Engine> engine = open_engine(0);
  template <class T>
  T* upload(const std::vector<T>& values) {
    auto* const block = static_cast<T*>(engine->allocate(values.size() * sizeof(T)));
    engine->to_device(block, values.data(), values.size() * sizeof(T));
    return block;
  }
  std::vector<float> download(const float* from, size_t count) {
    std::vector<float> values(count);
    engine->to_host(values.data(), from, count * sizeof(float));
    engine->wait(engine->record());
    return values;
  }
};

// Small integers and their halves: exact in every type.
template <class T>
T element_of(float value);
template <>
float element_of<float>(float value) {
  return value;
}
template <>
BFloat16 element_of<BFloat16>(float value) {
  return {static_cast<uint16_t>(float_to_bits(value) >> 16)};
}
template <>
Float16 element_of<Float16>(float value) {  // of normal numbers with up to 10 bits
  const uint32_t bits = float_to_bits(value);
  if (value == 0) return {0};
  return {static_cast<uint16_t>((bits >> 16 & 0x8000u) | ((bits >> 13 & 0x3ffffu) - (112u << 10)))};
}

template <class T>
void check_product(Device& device, const char* type) {
  constexpr int kDepth = kStepElements<T>;
  const auto left = [](int row, int k) { return static_cast<float>((row * 7 + k * 3) % 23 - 11) / 2; };
  const auto right = [](int k, int column) { return static_cast<float>((k * 5 + column * 11) % 19 - 9); };
  std::vector<T> a, b;
  for (int row = 0; row < kRows; ++row)
    for (int k = 0; k < kDepth; ++k) a.push_back(element_of<T>(left(row, k)));
  for (int column = 0; column < kColumns; ++column)
    for (int k = 0; k < kDepth; ++k) b.push_back(element_of<T>(right(k, column)));
  float* const c = device.upload(std::vector<float>(kRows * kColumns));
  launch(device.engine->context(), 1, 32, a.size() * sizeof(T), product<T>,
         static_cast<const T*>(device.upload(a)), static_cast<const T*>(device.upload(b)), c);
  const std::vector<float> found = device.download(c, kRows * kColumns);
  const auto check = [&](const std::vector<float>& values, int depth, const std::string& what) {
    int wrong = 0;
    for (int row = 0; row < kRows; ++row)
      for (int column = 0; column < kColumns; ++column) {
        float sum = 0;
        for (int k = 0; k < depth; ++k) sum += left(row, k) * right(k, column);
        wrong += values[row * kColumns + column] != sum;
      }
    CHECK_NOTE(wrong == 0, what + ": " + std::to_string(wrong) + " of 128 wrong");
  };
  check(found, kDepth, std::string("rows of ") + type);

  if constexpr (sizeof(T) == 2) {
    std::vector<T> at, bt;
    for (int k = 0; k < 16; ++k) {
      for (int row = 0; row < kRows; ++row) at.push_back(element_of<T>(left(row, k)));
      for (int column = 0; column < kColumns; ++column) bt.push_back(element_of<T>(right(k, column)));
    }
    launch(device.engine->context(), 1, 32, 2 * at.size() * sizeof(T), product_of_transposed<T>,
           static_cast<const T*>(device.upload(at)), static_cast<const T*>(device.upload(bt)), c);
    check(device.download(c, kRows * kColumns), 16, std::string("columns of ") + type);
  }
}

void check_copies(Device& device) {
  std::vector<float> x(128);
  for (int i = 0; i < 128; ++i) x[i] = static_cast<float>(i + 1);
  float* const y = device.upload(std::vector<float>(256, 7));
  float* const before = device.upload(std::vector<float>(32, 7));
  launch(device.engine->context(), 1, 32, 256 * sizeof(float), copy_both,
         static_cast<const float*>(device.upload(x)), y, 100, before);
  const std::vector<float> found = device.download(y, 256);
  for (int i = 0; i < 256; ++i) CHECK(found[i] == (i < 100 ? x[i] : 0));
#ifdef GROUPCONV_EMULATED
  // As late as can be, and as early.
  const float expected = emulator::order == emulator::Order::Forward ? -1 : 0;
  for (const float value : device.download(before, 32)) CHECK(value == expected);
#endif
}

void check_all() {
  Device device;
  check_product<BFloat16>(device, "bfloat16");
  check_product<Float16>(device, "float16");
  check_product<float>(device, "TF32");
  check_copies(device);
}

}  // namespace
}  // namespace groupconv

static void tests() {
#ifdef GROUPCONV_EMULATED
  emulator::order = emulator::Order::Backward;
  groupconv::check_all();
  emulator::order = emulator::Order::Forward;
#endif
  groupconv::check_all();
}

int main() { return groupconv::test::on_a_device(tests); }
