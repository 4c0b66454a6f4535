// Launchers of the activations on CUDA; arguments as in cpu/activation.h, and the stream.
#pragma once

#include "../types.h"

namespace benchsuite {
namespace cuda {

void act_forward(Type type, Act kind, const void* x, int64_t x_stride, const void* bias, void* y, int64_t rows,
                 int64_t columns, void* stream);
void act_backward(Type type, Act kind, const void* grad, const void* x, int64_t x_stride, const void* bias, void* dx,
                  int64_t rows, int64_t columns, void* stream);
void glu_forward(Type type, Act kind, const void* gate, const void* up, int64_t gate_stride, int64_t up_stride,
                 const void* gate_bias, const void* up_bias, void* y, int64_t rows, int64_t columns, void* stream);
void glu_backward(Type type, Act kind, const void* grad, const void* gate, const void* up, int64_t gate_stride,
                  int64_t up_stride, const void* gate_bias, const void* up_bias, void* dgate, void* dup,
                  int64_t d_stride, int64_t rows, int64_t columns, void* stream);

}  // namespace cuda
}  // namespace benchsuite
