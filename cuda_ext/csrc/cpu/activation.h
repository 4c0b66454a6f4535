// Elementwise activations over rows × columns. Strides are in elements; the elements of a row lie side by side.
#include "../types.h"

namespace benchsuite {
namespace BENCHSUITE_ISA {

// y = f(x + bias); y is contiguous. bias (columns) may be null.
void act_forward(Type type, Act kind, const void* x, int64_t x_stride, const void* bias, void* y, int64_t rows,
                 int64_t columns);
// dx = grad * f'(x + bias); grad and dx are contiguous.
void act_backward(Type type, Act kind, const void* grad, const void* x, int64_t x_stride, const void* bias, void* dx,
                  int64_t rows, int64_t columns);
// y = f(gate + gate_bias) * (up + up_bias); y is contiguous. Both biases (columns) may be null, together.
void glu_forward(Type type, Act kind, const void* gate, const void* up, int64_t gate_stride, int64_t up_stride,
                 const void* gate_bias, const void* up_bias, void* y, int64_t rows, int64_t columns);
void glu_backward(Type type, Act kind, const void* grad, const void* gate, const void* up, int64_t gate_stride,
                  int64_t up_stride, const void* gate_bias, const void* up_bias, void* dgate, void* dup,
                  int64_t d_stride, int64_t rows, int64_t columns);

}  // namespace BENCHSUITE_ISA
}  // namespace benchsuite
