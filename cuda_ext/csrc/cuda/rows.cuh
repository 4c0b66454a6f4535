// Kernels in which one block has one row at a time: what of the row stays in registers, and reductions over the block.
#pragma once

#include "common.cuh"

namespace benchsuite {
namespace cuda {

constexpr int kWarp = 32, kMaxThreads = 1024;

struct Sum {
  static constexpr float none = 0.f;
  static __device__ __forceinline__ float of(float a, float b) { return a + b; }
};
struct Max {
  static constexpr float none = -INFINITY;
  static __device__ __forceinline__ float of(float a, float b) { return fmaxf(a, b); }
};

template <class Op, int K> __device__ __forceinline__ void reduce_warp(float (&v)[K]) {
#pragma unroll
  for (int d = kWarp / 2; d; d /= 2)
#pragma unroll
    for (int k = 0; k < K; ++k) v[k] = Op::of(v[k], __shfl_xor_sync(0xffffffffu, v[k], d));
}

// Every thread of a block of whole warps gets the K results, always in the same order of additions.
template <class Op, int K> __device__ __forceinline__ void reduce(float (&v)[K]) {
  __shared__ float partial[K * kWarp];
  reduce_warp<Op>(v);
  const int warps = blockDim.x / kWarp, warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  if (warps == 1) return;
  __syncthreads();  // the last reduction's results are read
  if (lane == 0)
#pragma unroll
    for (int k = 0; k < K; ++k) partial[k * kWarp + warp] = v[k];
  __syncthreads();
#pragma unroll
  for (int k = 0; k < K; ++k) v[k] = lane < warps ? partial[k * kWarp + lane] : Op::none;
  reduce_warp<Op>(v);
}
template <class Op> __device__ __forceinline__ float reduce(float v) {
  float one[1] = {v};
  reduce<Op>(one);
  return one[0];
}

// Indices within a row are 32-bit: half the registers of 64-bit ones.
//
// Calls each(i, cached) for this thread's packs of a row: i is the first of N elements. The first P packs have their
// number, so that what is kept of them stays in registers; of a longer row the others get P, and are read again.
template <int N, int P, bool Rest = true, class Each>
__device__ __forceinline__ void for_row(int columns, const Each& each) {
#pragma unroll
  for (int p = 0; p < P; ++p) {
    const int i = (p * int(blockDim.x) + int(threadIdx.x)) * N;
    if (i < columns) each(i, p);
  }
  if (Rest)
    for (int i = (P * int(blockDim.x) + int(threadIdx.x)) * N; i < columns; i += int(blockDim.x) * N) each(i, P);
}

// A row whose packs are read once by `load(i, values)` as far as they fit into registers.
template <int N, int P> struct Row {
  float kept[P][N];
  template <class Load> __device__ __forceinline__ void fill(int columns, const Load& load) {
#pragma unroll
    for (int p = 0; p < P; ++p) {
      const int i = (p * int(blockDim.x) + int(threadIdx.x)) * N;
      if (i < columns) load(i, kept[p]);
    }
  }
  // use(i, values) for every pack of this thread.
  template <class Load, class Use>
  __device__ __forceinline__ void each(int columns, const Load& load, const Use& use) {
#pragma unroll
    for (int p = 0; p < P; ++p) {
      const int i = (p * int(blockDim.x) + int(threadIdx.x)) * N;
      if (i < columns) use(i, kept[p]);
    }
    for (int i = (P * int(blockDim.x) + int(threadIdx.x)) * N; i < columns; i += int(blockDim.x) * N) {
      float values[N];
      load(i, values);
      use(i, values);
    }
  }
};

// Threads for rows of `columns`, of which each keeps P packs of N.
inline unsigned row_threads(int64_t columns, int N, int P, int most = kMaxThreads) {
  int64_t threads = ((columns + N * P - 1) / (N * P) + kWarp - 1) / kWarp * kWarp;
  return unsigned(threads < kWarp ? kWarp : threads < most ? threads : most);
}
inline unsigned row_blocks(int64_t rows) { return unsigned(rows < 1 << 24 ? rows : 1 << 24); }

}  // namespace cuda
}  // namespace benchsuite
