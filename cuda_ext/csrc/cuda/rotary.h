#pragma once

#include "../attention_args.h"

namespace benchsuite {
namespace cuda {

// As in cpu/rotary.h, for q and k in one launch, and the stream.
void rotary(Type type, const Heads& q, const Heads& q_out, const Heads& k, const Heads& k_out, int64_t B, int64_t H,
            int64_t T, int64_t D, int64_t R, const void* cos, const void* sin, int64_t angles_b, bool interleaved,
            double sign, void* stream);

}  // namespace cuda
}  // namespace benchsuite
