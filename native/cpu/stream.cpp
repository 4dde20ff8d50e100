#include "cpu/stream.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "cpu/context.h"
#include "cpu/isa.h"
#include "cpu/layout.h"
#include "cpu/limits.h"
#include "cpu/pool.h"

namespace groupconv {
namespace {

// Images and other thin inputs stay N C H W: blocking three channels by sixteen would waste the bandwidth.
constexpr int64_t kMostPlainChannels = 4;

}  // namespace

CpuStream::CpuStream()
    : arena_(memory_limit()), queue_([](Task& task) { task(CpuContext(thread_count())); }) {
  active_isa();
}

std::string CpuStream::place() const {
  return std::string("cpu ") + isa_name(active_isa()) + ", " + std::to_string(thread_count()) + " threads";
}

void* CpuStream::take(size_t bytes) {
  void* block = arena_.allocate(bytes);
  if (!block) {
    drain();  // kept blocks may be in use by queued work
    arena_.trim();
    block = arena_.allocate(bytes);
  }
  require(block, ErrorCode::OutOfMemory, "cpu: no memory for ", bytes, " bytes; ", arena_.used_bytes(),
          " are in use");
  return block;
}

int CpuStream::activation_block(int64_t channels) const {
  return channels <= kMostPlainChannels ? 1 : simd_width(active_isa());
}

void CpuStream::relayout(const Tensor& from, Tensor& to) { queue_relayout(*this, from, to); }

void CpuStream::upload(const void* host, Tensor& to) {
  const size_t bytes = to.logical_bytes();
  auto staged = std::make_unique_for_overwrite<char[]>(bytes);
  std::memcpy(staged.get(), host, bytes);
  void* target = to.target_in_layout<void>(1);
  submit([staged = std::move(staged), target,
          bytes](const ExecutionContext&) { std::memcpy(target, staged.get(), bytes); },
         bytes);
}

void CpuStream::download(const Tensor& from, void* host) {
  refuse_while_recording("a value is read");
  const int block = from.block();
  const void* source = from.in_layout<void>(block);
  submit([=, shape = from.shape(), bytes = size_of(from.dtype())](const ExecutionContext& context) {
    groupconv::relayout(context, shape, bytes, source, block, host, 1);
  });
}

void CpuStream::receive(const Tensor& from, Tensor& to) {
  refuse_while_recording("a tensor comes from another device");
  auto staged = stage(from);
  void* target = to.target_in_layout<void>(1);
  submit([staged, target](const ExecutionContext&) {
    staged->wait();
    std::memcpy(target, staged->data.get(), staged->bytes);
  });
}

void CpuStream::tile(std::vector<char> pattern, void* target, size_t bytes) {
  submit([=, pattern = std::move(pattern)](const ExecutionContext&) {
    for (size_t done = 0; done < bytes; done += pattern.size())
      std::memcpy(static_cast<char*>(target) + done, pattern.data(), std::min(pattern.size(), bytes - done));
  });
}

}  // namespace groupconv
