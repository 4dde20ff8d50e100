// A stand-in for libcudnn.so.9 on the host, for tests: it demands of descriptors what cuDNN's documentation
// demands, records graphs as text, and computes them naively in float32. Its engines are made to tell whether
// the library chooses rightly:
//
//   0 tensor core    16-bit types; float32 rounded to TF32. N H W C, groups in steps of 16 bytes, epilogues
//                    (not on grouped or strided gradInput). Knob 7: 1 is faster than 0, which is offered
//                    first. A sum of gradWeight, float32 from 16 bits, is fast where knob 17 splits it
//   1 varying order  all that 2 does; every second run is off in the last digits
//   2 plain          one convolution, symmetric padding; the fallback
//   3 narrow sums    like 0, but adds up in bfloat16
//   4 transforms     all that 2 does, by Winograd's transforms, as it says
#pragma once
#include <functional>
#include <string>
#include <vector>

struct CudnnStandin {
  std::string graph;                  // the last one that was finalized
  std::vector<std::string> executed;  // "engine 0 7=1", in order
  int plans = 0;                      // that were built
  int compiled = 0;                   // of those: 0's with an epilogue
  int restored = 0;                   // that came from their text
  int orphans = 0;                    // handles that went before their plans
  int failing_starts = 0;             // so many handles can't be made; GROUPCONV_STANDIN_FAILING_STARTS
  bool refuse = false;                // finds no engine for anything
  bool only_wide_gradients = false;   // gradWeight's result must be float32
  bool fail_to_execute = false;       // says NOT_SUPPORTED only when a plan is run
  int plan_status = 0;                // what building a plan says
  int copies = 1;                     // how often a configuration is offered
  bool slow_epilogues = false;        // every convolution alone is faster
  std::string broken;                 // this one says EXECUTION_FAILED: "engine 0 7=1"
  // What work is given to: the emulator's streams. Without it, it is done at once.
  std::function<void(void* stream, std::function<void()>)> submit;
  // How it waits for the current device, when a handle goes.
  std::function<void()> wait_for_device;
};

// The shared library exports it beside cuDNN's functions.
extern "C" CudnnStandin* groupconv_cudnn_standin();
constexpr const char* kCudnnStandin = "groupconv_cudnn_standin";
