#include "cuda/emulator/context.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <new>

namespace emulator {

namespace {

constexpr size_t kStackBytes = 256 * 1024;

size_t page_bytes() {
  static const auto bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

// Its lowest page cannot be used: who needs more stack than there is fails, and writes nowhere else.
void* new_stack() {
  const size_t bytes = page_bytes() + kStackBytes;
  void* stack =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (stack == MAP_FAILED) throw std::bad_alloc();
  mprotect(stack, page_bytes(), PROT_NONE);
  return stack;
}

}  // namespace

Context::~Context() {
  if (stack_) munmap(stack_, page_bytes() + kStackBytes);
}

#ifdef GROUPCONV_UCONTEXT

Context::Context(void (*main)()) : stack_(new_stack()) {
  getcontext(&state_);
  state_.uc_stack.ss_sp = static_cast<char*>(stack_) + page_bytes();
  state_.uc_stack.ss_size = kStackBytes;
  state_.uc_link = nullptr;
  makecontext(&state_, main, 0);
}

void Context::switch_to(Context& next) { swapcontext(&state_, &next.state_); }

#else

// groupconv_switch(&from, to): what the System V ABI has a function preserve goes on the stack and comes from
// the other one: six registers, and the control words of SSE and x87.
extern "C" void groupconv_switch(void** from, void* to);
asm(R"(
  .text
  .hidden groupconv_switch
  .type groupconv_switch, @function
groupconv_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  subq $8, %rsp
  stmxcsr (%rsp)
  fnstcw 4(%rsp)
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  ldmxcsr (%rsp)
  fldcw 4(%rsp)
  addq $8, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size groupconv_switch, . - groupconv_switch
)");

Context::Context(void (*main)()) : stack_(new_stack()) {
  // As if main had been called from nowhere and had left off at its first instruction.
  auto* word = reinterpret_cast<uint64_t*>(static_cast<char*>(stack_) + page_bytes() + kStackBytes);
  *--word = 0;  // the return address, at which debuggers and exceptions see an end
  *--word = reinterpret_cast<uint64_t>(main);
  for (int preserved = 0; preserved < 6; ++preserved) *--word = 0;
  --word;
  uint32_t sse;
  uint16_t x87;
  asm("stmxcsr %0\n\tfnstcw %1" : "=m"(sse), "=m"(x87));
  *word = sse | uint64_t{x87} << 32;
  top_ = word;
}

void Context::switch_to(Context& next) { groupconv_switch(&top_, next.top_); }

#endif

}  // namespace emulator
