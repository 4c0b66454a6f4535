// Attention by online softmax (arXiv:2205.14135): tiles of scores, never all of them.
#include "../attention_args.h"

namespace benchsuite {
namespace BENCHSUITE_ISA {

void attention_forward(const AttentionArgs& a);
void attention_backward(const AttentionArgs& a);
// The same for bfloat16 by 16-bit products.
void attention_forward_bf16(Products how, const AttentionArgs& a);
void attention_backward_bf16(Products how, const AttentionArgs& a);

}  // namespace BENCHSUITE_ISA
}  // namespace benchsuite
