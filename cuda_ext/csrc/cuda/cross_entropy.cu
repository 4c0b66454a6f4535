// Softmax cross-entropy over rows of logits, in place: one block has one row at a time. A vocabulary's row is too long for
// registers: one pass finds maximum and sum together, a second writes the gradient from what is still in the L2 cache.
#include "cross_entropy.h"

#include "rows.cuh"

namespace benchsuite {
namespace cuda {
namespace {

constexpr int kThreads = 512;

// Elements before the first 16-byte boundary of a row; rows of an odd vocabulary begin anywhere.
template <class T> __device__ __forceinline__ int head_of(const T* x, int64_t columns) {
  int64_t head = (16 - int64_t(reinterpret_cast<uintptr_t>(x) % 16)) % 16 / int64_t(sizeof(T));
  return int(head < columns ? head : columns);
}

// Calls each(pointer to the elements, how many of N) for this thread's part of a row: its unaligned beginning, packs, and end.
template <class T, int N, class Each> __device__ __forceinline__ void for_packs(T* x, int64_t columns, const Each& each) {
  const int head = head_of(x, columns);
  const int64_t packs = (columns - head) / N, rest = head + packs * N;
  if (threadIdx.x < head) each(x + threadIdx.x, 1);
  for (int64_t k = threadIdx.x; k < packs; k += blockDim.x) each(x + head + k * N, N);
  if (rest + threadIdx.x < columns) each(x + rest + threadIdx.x, 1);
}

// Bytes: reads 2 * rows * columns, or once without a gradient; writes rows * columns with one, and the losses.
// A target that is no class gives NaN.
template <class T>
__global__ void __launch_bounds__(kThreads)
    cross_entropy_kernel(T* logits, const int64_t* targets, int64_t ignore, float scale, bool gradient, float* losses,
                         int64_t rows, int64_t columns) {
  constexpr int N = kLanes<T>;
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    T* x = logits + r * columns;
    const int64_t target = targets[r];
    if (target == ignore) {
      if (threadIdx.x == 0) losses[r] = 0.f;
      const float zero[N] = {};
      if (gradient) for_packs<T, N>(x, columns, [&](T* p, int n) { write(p, n, zero); });
      continue;
    }
    float most = -INFINITY, total = 0.f;  // of this thread's elements, the sum relative to the maximum
    for_packs<T, N>(x, columns, [&](T* p, int n) {
      float v[N];
      read(p, n, v);
      float top = v[0];
#pragma unroll
      for (int j = 1; j < N; ++j) top = j < n ? fmaxf(top, v[j]) : top;
      if (top > most) {
        total *= exp(most - top);
        most = top;
      }
      if (most == -INFINITY) return;  // nothing but -infinity so far: no terms, and no difference of infinities
#pragma unroll
      for (int j = 0; j < N; ++j)
        if (j < n) total += exp(v[j] - most);
    });
    const float all = reduce<Max>(most);
    total = reduce<Sum>(total == 0.f ? 0.f : total * exp(most - all));
    const bool known = target >= 0 && target < columns;
    const float at_target = known ? widen(x[target]) : NAN;
    if (threadIdx.x == 0) losses[r] = logf(total) - (at_target - all);
    if (!gradient) continue;
    __syncthreads();  // all have read the target's logit
    const float factor = scale / total;
    for_packs<T, N>(x, columns, [&](T* p, int n) {
      float v[N];
      read(p, n, v);
#pragma unroll
      for (int j = 0; j < N; ++j) v[j] = exp(v[j] - all) * factor - (p + j == x + target ? scale : 0.f);
      write(p, n, v);
    });
  }
}

}  // namespace

void cross_entropy_rows(Type type, void* logits, const int64_t* targets, int64_t ignore, double scale, bool gradient,
                        void* losses, int64_t rows, int64_t columns, void* stream) {
  with_type(type, [&](auto t) {
    typedef decltype(t) T;
    cross_entropy_kernel<T><<<row_blocks(rows), kThreads, 0, cudaStream_t(stream)>>>(
        as<T>(logits), targets, ignore, float(scale), gradient, as<float>(losses), rows, columns);
    check_launch();
  });
}

}  // namespace cuda
}  // namespace benchsuite
