// Rotary positions: pairs of channels turned by an angle that grows with the place.
#include "../attention_args.h"

namespace benchsuite {
namespace BENCHSUITE_ISA {

// out = x turned, for x of (B, H, T, D). cos and sin: (angles, R / 2) in the type of the arithmetic, row (b, t) at
// b * angles_b + t. The first R channels are turned: halves against each other, or neighbours where `interleaved`; the
// others are copied. sign -1 turns back. out may be x.
void rotary(Type type, const Heads& x, const Heads& out, int64_t B, int64_t H, int64_t T, int64_t D, int64_t R,
            const void* cos, const void* sin, int64_t angles_b, bool interleaved, double sign);

}  // namespace BENCHSUITE_ISA
}  // namespace benchsuite
