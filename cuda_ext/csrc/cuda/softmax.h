#pragma once

#include "../types.h"

namespace benchsuite {
namespace cuda {

// As in cpu/softmax.h, and the stream.
void alibi_softmax_forward(Type type, const void* s, const float* slopes, double scale, bool causal, void* p, int64_t heads,
                           int64_t H, int64_t Tq, int64_t Tk, void* stream);
void alibi_softmax_backward(Type type, const void* dp, const void* p, double scale, bool causal, void* ds, int64_t heads,
                            int64_t Tq, int64_t Tk, void* stream);

}  // namespace cuda
}  // namespace benchsuite
