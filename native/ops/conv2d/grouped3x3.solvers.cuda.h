// What the solvers accept, and the solvers of one element type.
#pragma once
#include "ops/conv2d/grouped3x3.launch.cuda.h"

namespace groupconv::cuda::grouped3x3 {

inline bool is_grouped3x3(const Conv2dProblem& p) {
  const int64_t per_group = p.channels_per_group();
  return p.r == 3 && p.s == 3 && p.c == p.k && p.dilation_h == 1 && p.dilation_w == 1 &&
         p.stride_h == p.stride_w && (p.stride_h == 1 || p.stride_h == 2) && p.pad_top == 1 &&
         p.pad_right == 1 && p.pad_bottom == 1 && p.pad_left == 1 && p.x_block == p.c && p.y_block == p.k &&
         (per_group == 4 || per_group == 8 || per_group == 16 || per_group == 32);
}
// Whole squares, and offsets within the images that lie side by side in 31 bits.
inline bool fits(const Conv2dProblem& p, int square) {
  constexpr int kMostImages = 8;
  return p.c % square == 0 && int64_t{kMostImages} * p.h * p.w * p.c < (int64_t{1} << 31);
}

// float32 is computed as TF32, where that is allowed.
template <class T>
bool is_of(const Conv2dProblem& p) {
  if (sizeof(T) == 4 && !p.tf32) return false;
  return p.dtype == (std::is_same_v<T, BFloat16>  ? DType::BFloat16
                     : std::is_same_v<T, Float16> ? DType::Float16
                                                  : DType::Float32);
}
template <class T>
bool accepts(const Conv2dProblem& p) {
  return is_of<T>(p) && p.pass != Conv2dPass::GradWeight && is_grouped3x3(p) &&
         fits(p, square_of<T>(static_cast<int>(p.channels_per_group())));
}
template <class T>
bool accepts_grad_weight(const Conv2dProblem& p) {
  return is_of<T>(p) && p.pass == Conv2dPass::GradWeight && is_grouped3x3(p) &&
         fits(p, p.channels_per_group() <= 16 ? 16 : 32);
}

template <class T>
constexpr Conv2dSolver activation_solver(const char* name) {
  return {name, accepts<T>, run<T>, nullptr, prepared_bytes<T>, run_prepare<T>};
}
template <class T>
constexpr Conv2dSolver weight_solver(const char* name) {
  return {name, accepts_grad_weight<T>, run_grad_weight<T>};
}

}  // namespace groupconv::cuda::grouped3x3
