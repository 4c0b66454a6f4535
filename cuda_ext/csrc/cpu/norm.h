// LayerNorm over rows × columns; NormRows makes a plain norm and one of an embedding, with positions added, one kernel.
// mean, rstd and partial are float32, float64 for Type::f64.
#include "../types.h"

namespace benchsuite {
namespace BENCHSUITE_ISA {

void norm_forward(const NormRows& x, const void* weight, const void* bias, double eps, void* y, void* mean, void* rstd);
// Of what is added to the normalised rows (x.b) the backward pass takes no notice: its gradient is dy.
// dx is contiguous, in the type of x, or in that of the arithmetic where `wide`. partial: (blocks, 2, columns), what each
// block of rows adds to the gradients of weight and bias; the result does not depend on the number of threads.
void norm_backward(const NormRows& x, const void* dy, const void* weight, const void* mean, const void* rstd, void* dx,
                   bool wide, void* partial, int64_t blocks);
// dw and db (columns), in the type of x: the sum over blocks.
void norm_reduce(Type type, const void* partial, int64_t blocks, void* dw, void* db, int64_t columns);
// norm_backward on rows taken from a table, added up into the table's gradient dtable (tokens.count, columns), in the type
// of x, while they are in the cache.
void embedding_norm_backward(const NormRows& x, const Groups& tokens, const void* dy, const void* weight,
                             const void* mean, const void* rstd, void* dtable, void* partial, int64_t blocks);
// table[t] (groups.count, columns): the sum of rows[r] over the group of t; both are of `type`.
void sum_groups(Type type, const Groups& groups, const void* rows, void* table, int64_t columns);
// out[r] (rows, columns) = table[index[r]]
void take_rows(Type type, const void* table, const int64_t* index, void* out, int64_t rows, int64_t columns);

}  // namespace BENCHSUITE_ISA
}  // namespace benchsuite
