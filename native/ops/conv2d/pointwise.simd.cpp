#include "cpu/context.h"
#include "cpu/simd.h"
#include "ops/conv2d/conv2d.h"

namespace groupconv {
namespace GROUPCONV_ISA {
extern const Conv2dTable conv2d_pointwise = {nullptr, 0};
}
}  // namespace groupconv
