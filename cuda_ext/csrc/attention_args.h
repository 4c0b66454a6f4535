// What the attention kernels take, on the CPU and on CUDA.
#pragma once

#include "types.h"

namespace benchsuite {

// A tensor (batch, head, time, channel) by its strides in elements; channels lie side by side.
struct Heads {
  void* p;
  int64_t b, h, t;
};

// softmax(scale q·k + slope (key place - query place)) v. The queries are the last Tq of Tk places; `group` heads of them
// share one of keys and values, H / group in number, while dk and dv have H. slopes (H, float32)
// and cos, sin (Tk, D / 2; the type of the arithmetic; halves rotated against each other, as GPT-NeoX does) may be null.
// lse (B, H, Tq), in the type of the arithmetic, is the logarithm of each row's sum of exponentials.
struct AttentionArgs {
  Type type;
  int64_t B, H, Tq, Tk, D, group;
  Heads q, k, v, out;
  void* lse;
  const float* slopes;
  const void *cos, *sin;
  bool causal;
  double scale;
  // The backward pass only; out is then an input.
  Heads dout, dq, dk, dv;
};

}  // namespace benchsuite
