// A device's use of cuDNN: how it starts, or does not; plans that are captured and run; memory.
#include "cuda/autotuning.testing.h"
#include "cuda/cudnn/session.h"

#include <cstring>

#include "cuda/testing.h"

#ifdef GROUPCONV_CUDNN_STANDIN
#include "cuda/emulator/control.h"
#include "cuda/settings.h"
#include "cuda/standin.testing.h"
#endif

namespace groupconv::cuda::cudnn {
namespace {

// One pixel, 16 channels in two groups of 8, bfloat16.
Convolution one_pixel() {
  Convolution v{};
  v.dtype = DType::BFloat16;
  v.n = v.h = v.w = v.p = v.q = v.r = v.s = 1, v.c = v.k = 16;
  v.stride_h = v.stride_w = v.dilation_h = v.dilation_w = 1, v.groups = 2;
  return v;
}

// To the device and back, by way of page-locked memory.
void write(Engine& engine, void* to, const std::vector<uint16_t>& values) {
  const size_t bytes = values.size() * sizeof(uint16_t);
  void* const host = engine.allocate_host(bytes);
  std::memcpy(host, values.data(), bytes);
  engine.to_device(to, host, bytes);
  engine.wait(engine.record());
  engine.release_host(host);
}
std::vector<uint16_t> read(Engine& engine, const void* from, size_t count) {
  std::vector<uint16_t> values(count);
  void* const host = engine.allocate_host(count * sizeof(uint16_t));
  engine.to_host(host, from, count * sizeof(uint16_t));
  engine.wait(engine.record());
  std::memcpy(values.data(), host, count * sizeof(uint16_t));
  engine.release_host(host);
  return values;
}

// Recorded once, run twice: nothing is measured or read while recording.
void plans_are_captured() {
  const auto engine = open_engine(0);
  const auto& context = engine->context();
  const Convolution v = one_pixel();
  using Halves = std::vector<uint16_t>;
  const auto block = [&](const Halves& values) {
    void* const memory = engine->allocate(values.size() * sizeof(uint16_t));
    write(*engine, memory, values);
    return memory;
  };
  void* const x = block(Halves(16, 0x3f80));        // 1
  void* const filter = block(Halves(128, 0x3f80));  // 8 for each output
  void* const y = block(Halves(16, 0));
  Operands operands{};
  operands.x = x, operands.filter = filter, operands.y = y;
  CHECK(run(v, operands, context));  // makes what it needs
  write(*engine, y, Halves(16, 0));
  engine->begin_capture();
  CHECK(run(v, operands, context));
  const auto graph = engine->end_capture();
  CHECK(read(*engine, y, 16) == Halves(16, 0));
  engine->launch(*graph);
  CHECK(read(*engine, y, 16) == Halves(16, 0x4100));
  Halves changed(16, 0x3f80);
  changed[0] = 0x4000;  // 2: the first group's sums are 9
  write(*engine, x, changed);
  engine->launch(*graph);
  const Halves sums = read(*engine, y, 16);
  CHECK(sums[0] == 0x4110 && sums[15] == 0x4100);
  for (void* const memory : {x, filter, y}) engine->release(memory);
}

#ifdef GROUPCONV_CUDNN_STANDIN
using test::standin;

// Operands of one_pixel: all of them 1.
struct Ones {
  explicit Ones(Engine& engine) : engine(engine) {
    for (uint16_t*& memory : blocks) {
      memory = static_cast<uint16_t*>(engine.allocate(256));
      std::fill_n(memory, 128, uint16_t{0x3f80});
    }
  }
  ~Ones() {
    for (uint16_t* memory : blocks) engine.release(memory);
  }
  Engine& engine;
  uint16_t* blocks[3];
};

// Results that take part in their own sum: the stand-in refuses to read where it writes.
void nothing_is_read_where_it_is_written() {
  const auto engine = open_engine(0);
  for (const bool forward : {true, false}) {
    const Ones ones(*engine);
    Convolution v = one_pixel();
    Operands operands{};
    operands.filter = ones.blocks[1];
    if (forward) {
      v.has_residual = 1;
      operands.x = ones.blocks[0], operands.residual = operands.y = ones.blocks[2];
    } else {
      v.pass = Pass::GradInput, v.accumulate = 1, v.groups = 1;
      v.c = 8;
      operands.dy = ones.blocks[0], operands.dx = ones.blocks[2];
    }
    CHECK(run(v, operands, engine->context()));
    CHECK(ones.blocks[2][0] == (forward ? 0x4110 : 0x4188));  // 8 products or 16, and the 1 that was there
  }
}

// Measuring takes memory for the result. Where there is none, cuDNN's first engine stays, and no call builds
// another plan.
void want_of_memory_settles_a_choice() {
  const auto engine = open_engine(0);
  const Ones ones(*engine);
  Operands operands{};
  operands.x = ones.blocks[0], operands.filter = ones.blocks[1], operands.y = ones.blocks[2];
  const auto again = [&] { CHECK(run(one_pixel(), operands, engine->context())); };
  again();
  test::Autotuning tuning;
  engine->begin_capture();
  const auto graph = engine->end_capture();  // holds the engine's workspace, or measuring would have that
  emulator::set_memory(emulator::memory_in_use());
  again();
  const int plans = standin().plans;
  for (int i = 0; i < 3; ++i) again();
  CHECK(standin().plans == plans && tuning.kept.empty());
  emulator::set_memory(~size_t{0});
  const Session& session = *cuda_context(engine->context()).cudnn();
  CHECK(session.retired.size() == 1);
}

// It is tried twice, with what memory can be given back; then convolutions do without, and it is told.
void a_start_that_fails_is_final() {
  const auto engine = open_engine(0);
  const auto& context = cuda_context(engine->context());
  standin().failing_starts = 1;
  CHECK(context.cudnn() != nullptr && why_without(0).empty());
  const auto other = open_engine(0);
  const auto& without = cuda_context(other->context());
  standin().failing_starts = 2;
  CHECK(without.cudnn() == nullptr);
  const std::string why = why_without(0);
  CHECK_NOTE(why.find("cuDNN does not start: cuDNN: handle: ") == 0, why);
  CHECK(without.cudnn() == nullptr && standin().failing_starts == 0);
  const Ones ones(*other);
  Operands operands{};
  operands.x = ones.blocks[0], operands.filter = ones.blocks[1], operands.y = ones.blocks[2];
  CHECK(!run(one_pixel(), operands, without));
  CHECK(run(one_pixel(), operands, context));
}

// Before any device has it: then nobody chooses cuDNN.
void without_a_start_nothing_is_accepted() {
  CHECK(accepts(one_pixel()));
  standin().failing_starts = 2;
  const auto engine = open_engine(0);
  CHECK(cuda_context(engine->context()).cudnn() == nullptr);
  CHECK(!accepts(one_pixel()));
  const auto next = open_engine(0);
  CHECK(cuda_context(next->context()).cudnn() != nullptr);
  CHECK(accepts(one_pixel()) && why_without(0).empty());
}
#endif

}  // namespace
}  // namespace groupconv::cuda::cudnn

static void tests() {
  using namespace groupconv::cuda::cudnn;
#ifdef GROUPCONV_CUDNN_STANDIN
  without_a_start_nothing_is_accepted();
  a_start_that_fails_is_final();
  nothing_is_read_where_it_is_written();
  want_of_memory_settles_a_choice();
#endif
  plans_are_captured();
}

int main() { return groupconv::test::on_a_device(tests); }
