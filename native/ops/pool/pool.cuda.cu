// The CUDA solver of pooling.
#include "cuda/offer.h"
#include "ops/pool/pool.kernels.cuda.h"

namespace groupconv::cuda {
namespace {

constexpr PoolSolver solvers[] = {{"gather", pool::fits, pool::run<>, pool::place_bytes}};
const bool offered = offer<PoolProblem, PoolBuffers>("pool", {{solvers, 1}});

}  // namespace
}  // namespace groupconv::cuda
