// Contexts: places in a program to go on from, each with a stack of its own.
//
// ucontext does the same with two system calls per switch, for signal masks that nobody here changes: kernels
// that meet often would spend their time there. So x86-64 has its own switch; other processors have
// ucontext's.
#pragma once
#include <cstddef>

#if !defined(__x86_64__) && !defined(GROUPCONV_UCONTEXT)
#define GROUPCONV_UCONTEXT
#endif
#ifdef GROUPCONV_UCONTEXT
#include <ucontext.h>
#endif

namespace emulator {

class Context {
 public:
  // The caller's: for switches away from where it runs, and back.
  Context() = default;
  // Begins `main`, which never returns and throws nothing, when it is first switched to. Throws
  // std::bad_alloc.
  explicit Context(void (*main)());
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  // Leaves off here, to go on when somebody switches back, and goes on where `next` left off.
  void switch_to(Context& next);

 private:
  void* stack_ = nullptr;
#ifdef GROUPCONV_UCONTEXT
  ucontext_t state_;
#else
  void* top_ = nullptr;  // of its stack, where it left off, with all that a function leaves as it finds it
#endif
};

}  // namespace emulator
