#pragma once

#include "../types.h"

namespace benchsuite {
namespace cuda {

// As in cpu/cross_entropy.h, and the stream.
void cross_entropy_rows(Type type, void* logits, const int64_t* targets, int64_t ignore, double scale, bool gradient,
                        void* losses, int64_t rows, int64_t columns, void* stream);

}  // namespace cuda
}  // namespace benchsuite
