// What the CUDA kernels share: element types, 16-byte accesses, and how rows are spread over a grid.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

#include "../types.h"

namespace benchsuite {
namespace cuda {

typedef __nv_bfloat16 bf16;
typedef __half f16;

__device__ __forceinline__ float widen(float x) { return x; }
__device__ __forceinline__ float widen(bf16 x) { return __bfloat162float(x); }
__device__ __forceinline__ float widen(f16 x) { return __half2float(x); }
template <class T> __device__ __forceinline__ T narrow(float x);
template <> __device__ __forceinline__ float narrow<float>(float x) { return x; }
template <> __device__ __forceinline__ bf16 narrow<bf16>(float x) { return __float2bfloat16_rn(x); }
template <> __device__ __forceinline__ f16 narrow<f16>(float x) { return __float2half_rn(x); }

// N elements that one thread reads or writes at once: 16 bytes, or one element where rows are not aligned for more.
template <class T, int N> struct alignas(N * sizeof(T) < 16 ? N * sizeof(T) : 16) Pack {
  T v[N];
};
template <class T> constexpr int kLanes = 16 / sizeof(T);

// exp(x) by the hardware's 2^x: about 2 ulp, and x's own rounding error times x (CUDA C programming guide, intrinsics).
__device__ __forceinline__ float exp(float x) { return __expf(x); }
// 2^x by the hardware, numbers too small for float32's normal ones as 0.
__device__ __forceinline__ float exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
// 1 / x to 1 ulp, in one instruction where a division takes ten; infinity gives 0.
__device__ __forceinline__ float reciprocal(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ __forceinline__ float erfc(float x) { return ::erfcf(x); }

template <class T> bool aligned(const T* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

template <class T> __host__ __device__ const T* as(const void* p) { return static_cast<const T*>(p); }
template <class T> __host__ __device__ T* as(void* p) { return static_cast<T*>(p); }

// A pack of a row, `n` of its N elements, as float32; zeros beyond.
template <class T, int N> __device__ __forceinline__ void read(const T* p, int n, float (&x)[N]) {
  if (n == N) {
    Pack<T, N> pack = *reinterpret_cast<const Pack<T, N>*>(p);
#pragma unroll
    for (int j = 0; j < N; ++j) x[j] = widen(pack.v[j]);
  } else {
#pragma unroll
    for (int j = 0; j < N; ++j) x[j] = j < n ? widen(p[j]) : 0.f;
  }
}

template <class T, int N> __device__ __forceinline__ void write(T* p, int n, const float (&x)[N]) {
  if (n == N) {
    Pack<T, N> pack;
#pragma unroll
    for (int j = 0; j < N; ++j) pack.v[j] = narrow<T>(x[j]);
    *reinterpret_cast<Pack<T, N>*>(p) = pack;
  } else {
#pragma unroll
    for (int j = 0; j < N; ++j)
      if (j < n) p[j] = narrow<T>(x[j]);
  }
}

inline void check_launch() {
  cudaError_t error = cudaGetLastError();
  if (error != cudaSuccess) throw std::runtime_error(std::string("benchsuite: ") + cudaGetErrorString(error));
}

// Calls body(T{}) with the type in which elements are stored.
template <class Body> void with_type(Type type, const Body& body) {
  switch (type) {
    case Type::f32: return body(float{});
    case Type::bf16: return body(bf16{});
    case Type::f16: return body(f16{});
    case Type::f64: throw std::runtime_error("float64 works on the CPU only");
  }
}

// Threads in x go along a row's packs, blocks in y over rows; both in strides, so that any size fits.
struct Grid {
  dim3 blocks, threads;
  Grid(int64_t rows, int64_t packs) {
    int64_t width = packs < 256 ? (packs + 31) / 32 * 32 : 256;
    int64_t across = (packs + width - 1) / width;
    threads = dim3(unsigned(width < 32 ? 32 : width));
    blocks = dim3(unsigned(across < 1 ? 1 : across < 65535 * 32 ? across : 65535 * 32), unsigned(rows < 65535 ? rows : 65535));
  }
};

}  // namespace cuda
}  // namespace benchsuite
