// One warp, one product of each kind, as the attention's tiles do them.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

static __device__ uint32_t shared_address(const void* p) { return uint32_t(__cvta_generic_to_shared(p)); }

// c (16, 8) = a (16, 16) b (16, 8): asynchronous copies to shared memory, ldmatrix, mma. Blocks have tiles of their own.
template <bool BF16> static __device__ void product(const uint16_t* a, const uint16_t* b, float* c) {
  __shared__ __align__(16) uint16_t left[16 * 24], right[16 * 24];
  a += blockIdx.x * 256, b += blockIdx.x * 128, c += blockIdx.x * 128;
  const int lane = threadIdx.x;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(left + lane / 2 * 24 + lane % 2 * 8)), "l"(a + lane * 8));
  if (lane < 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(right + lane * 24)), "l"(b + lane * 8), "r"(16));
  asm volatile("cp.async.commit_group;");
  asm volatile("cp.async.wait_group 0;" ::: "memory");
  __syncthreads();
  uint32_t x[4], y[2];
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3]) : "r"(shared_address(left + lane % 16 * 24 + lane / 16 * 8)));
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
               : "=r"(y[0]), "=r"(y[1]) : "r"(shared_address(right + lane % 16 * 24)));
  float d[4] = {0, 0, 0, 0};
  if (BF16)
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(y[0]), "r"(y[1]));
  else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(y[0]), "r"(y[1]));
  for (int i = 0; i < 4; ++i) c[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = d[i];
}
extern "C" __global__ void product_bf16(const uint16_t* a, const uint16_t* b, float* c) { product<true>(a, b, c); }
extern "C" __global__ void product_f16(const uint16_t* a, const uint16_t* b, float* c) { product<false>(a, b, c); }

// Two groups of copies, the second of which may be under way while the first is read.
extern "C" __global__ void groups(const uint4* x, uint4* y) {
  __shared__ uint4 first[32], second[32];
  asm volatile("cp.async.ca.shared.global [%0], [%1], 16;" ::"r"(shared_address(first + threadIdx.x)), "l"(x + threadIdx.x));
  asm volatile("cp.async.commit_group;");
  asm volatile("cp.async.ca.shared.global [%0], [%1], 16;" ::"r"(shared_address(second + threadIdx.x)), "l"(x + 32 + threadIdx.x));
  asm volatile("cp.async.commit_group;");
  asm volatile("cp.async.wait_group 1;" ::: "memory");
  y[threadIdx.x] = first[threadIdx.x];
  asm volatile("cp.async.wait_all;" ::: "memory");
  y[32 + threadIdx.x] = second[threadIdx.x];
}

extern "C" __global__ void votes(const int* x, unsigned* y) {
  int v = x[threadIdx.x];
  unsigned ballot = __ballot_sync(0xffffffffu, v > 0);
  bool all = __all_sync(0xffffffffu, v > -100), any = __any_sync(0xffffffffu, v == 7);
  y[threadIdx.x] = ballot ^ (all ? 1u << 30 : 0) ^ (any ? 1u << 31 : 0);
}
