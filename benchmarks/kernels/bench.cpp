// Times conv2d solvers without Node, for work on kernels:
//   conv2d_bench SHAPES.txt [filter] [pass] [threads] [batch]
// A shape line: name  C H W  K  R S  stride  padding  groups  [dilation]
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include "cpu/isa.h"
#include "cpu/measure.h"
#include "cpu/pool.h"
#include "cpu/stream.h"
#include "ops/conv2d/conv2d.measure.h"

int main(int argc, char** argv) {
  using namespace groupconv;
  if (argc < 2)
    return std::printf(
               "usage: conv2d_bench SHAPES [filter|-] [forward|gradInput|gradWeight|-] [threads] [batch]\n"),
           2;
  const char* filter = argc > 2 && std::strcmp(argv[2], "-") ? argv[2] : "";
  const char* only = argc > 3 && std::strcmp(argv[3], "-") ? argv[3] : "";
  const int threads = argc > 4 ? std::atoi(argv[4]) : thread_count();
  const int batch = argc > 5 ? std::atoi(argv[5]) : 1;
  std::printf("%s, %d threads, batch %d\n", isa_name(active_isa()), threads, batch);
  std::printf("%-26s %-10s %-12s %9s %9s %8s %6s\n", "layer", "pass", "solver", "min us", "median", "GFLOP/s",
              "%peak");
  set_thread_count(threads);
  CpuStream stream;
  std::ifstream file(argv[1]);
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string name;
    int c, h, w, k, r, s, stride, padding, groups;
    if (line.empty() || line[0] == '#' ||
        !(fields >> name >> c >> h >> w >> k >> r >> s >> stride >> padding >> groups))
      continue;
    int dilation = 1;
    fields >> dilation;
    if (name.find(filter) == std::string::npos) continue;
    constexpr const char* passes[] = {"forward", "gradInput", "gradWeight"};
    for (int pass = 0; pass < 3; ++pass) {
      if (*only && std::strcmp(only, passes[pass])) continue;
      Conv2dProblem problem = conv2d_problem(
          {batch, c, h, w}, {k, c / groups, r, s},
          {{stride, stride}, {dilation, dilation}, {padding, padding, padding, padding}, groups});
      problem.pass = static_cast<Conv2dPass>(pass);
      conv2d_set_stream(problem, stream);
      for (const Measurement& row : measure_conv2d(stream, problem, 0.1)) {
        const double rate = 2.0 * problem.macs() / row.seconds.front(), peak = measure_peak(threads);
        std::printf("%-26s %-10s %-12s %9.1f %9.1f %8.1f %6.1f\n", name.c_str(), passes[pass],
                    row.solver.c_str(), row.seconds.front() * 1e6, row.seconds[row.seconds.size() / 2] * 1e6,
                    rate * 1e-9, 100 * rate / peak);
        std::fflush(stdout);
      }
    }
  }
}
