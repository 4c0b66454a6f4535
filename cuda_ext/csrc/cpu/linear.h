// y = x Wᵀ + b and its gradients by 16-bit products: x (rows, in), W (out, in), b (out), each float32 or bfloat16.
#include "../types.h"

namespace benchsuite {
namespace BENCHSUITE_ISA {

// y (rows, out) = onto + x Wᵀ + b in y's type, contiguous as `onto`, which has that type too; bias has W's, and both may
// be null. Rows of x lie `x_stride` elements apart.
void linear_forward(Products how, Type x_type, const void* x, int64_t x_stride, Type w_type, const void* w,
                    const void* bias, const void* onto, Type y_type, void* y, int64_t rows, int64_t in, int64_t out);
// dx (rows, in) in x's type; dw (out, in) and db (out) in W's. Any of the three may be null.
void linear_backward(Products how, Type dy_type, const void* dy, int64_t dy_stride, Type x_type, const void* x,
                     int64_t x_stride, Type w_type, const void* w, void* dx, void* dw, void* db, int64_t rows,
                     int64_t in, int64_t out);

}  // namespace BENCHSUITE_ISA
}  // namespace benchsuite
