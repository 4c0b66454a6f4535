// Launchers of the attention on CUDA, and the stream.
#pragma once

#include "../attention_args.h"

namespace benchsuite {
namespace cuda {

void attention_forward(const AttentionArgs& a, void* stream);
// delta: (B, H, Tq) float32, for the kernels' own use.
void attention_backward(const AttentionArgs& a, void* delta, void* stream);

}  // namespace cuda
}  // namespace benchsuite
