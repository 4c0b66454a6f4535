// Launchers of the norms on CUDA; arguments as in cpu/norm.h, and the stream.
#pragma once

#include "../types.h"

namespace benchsuite {
namespace cuda {

void norm_forward(const NormRows& x, const void* weight, const void* bias, double eps, void* y, void* mean, void* rstd,
                  void* stream);
void norm_backward(const NormRows& x, const void* dy, const void* weight, const void* mean, const void* rstd, void* dx,
                   bool wide, void* partial, int64_t blocks, void* stream);
void norm_reduce(Type type, const void* partial, int64_t blocks, void* dw, void* db, int64_t columns, void* stream);

}  // namespace cuda
}  // namespace benchsuite
