// Softmax of attention scores with scale, ALiBi and the causal mask.
#include "../types.h"

namespace benchsuite {
namespace BENCHSUITE_ISA {

// Rows (B * H * Tq) of Tk scores; row (b, h, i) is the query at place Tk - Tq + i. p = softmax(scale s + slope (key place -
// query place)), zeros beyond the mask. slopes (H, float32) may be null; p may be s.
void alibi_softmax_forward(Type type, const void* s, const float* slopes, double scale, bool causal, void* p, int64_t heads,
                           int64_t H, int64_t Tq, int64_t Tk);
// ds = scale p (dp - sum(p dp)).
void alibi_softmax_backward(Type type, const void* dp, const void* p, double scale, bool causal, void* ds, int64_t heads,
                            int64_t Tq, int64_t Tk);

}  // namespace BENCHSUITE_ISA
}  // namespace benchsuite
