// Softmax cross-entropy over rows of logits, in place.
#include "../types.h"

namespace benchsuite {
namespace BENCHSUITE_ISA {

// losses[r] = log(sum(exp(row r))) - row[targets[r]], 0 where targets[r] is `ignore`. With `gradient` the row becomes
// scale (softmax - one-hot), zeros for an ignored one. losses is in the type of the arithmetic.
void cross_entropy_rows(Type type, void* logits, const int64_t* targets, int64_t ignore, double scale, bool gradient,
                        void* losses, int64_t rows, int64_t columns);

}  // namespace BENCHSUITE_ISA
}  // namespace benchsuite
