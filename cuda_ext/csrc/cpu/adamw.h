// AdamW on all tensors at once, with the gradient's clipping: two passes over the gradients, one over the rest.
#include "../types.h"

namespace benchsuite {
namespace BENCHSUITE_ISA {

// Returns the norm of the whole gradient before it was clipped, in torch's arithmetic: gradients count as multiplied by
// min(1, clip / (norm + 1e-6)), and are left as they are. The result has the same bits for any number of threads.
double adamw(const AdamwArgs& a);

}  // namespace BENCHSUITE_ISA
}  // namespace benchsuite
