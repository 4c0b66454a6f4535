// Kernels whose faults and traffic are known by looking at them.
extern "C" __global__ void copy(const float* x, float* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = x[i];
}

extern "C" __global__ void every_second(const float* x, float* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = x[2 * i];
}

// The sum of each block's 128 values: by warp, then over the warps through shared memory.
extern "C" __global__ void block_sum(const float* x, float* y) {
  __shared__ float partial[4];
  float v = x[blockIdx.x * 128 + threadIdx.x];
  for (int d = 16; d; d >>= 1) v += __shfl_xor_sync(0xffffffffu, v, d);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = v;
  __syncthreads();
  if (threadIdx.x == 0) y[blockIdx.x] = partial[0] + partial[1] + partial[2] + partial[3];
}

// 32 × 32 through shared memory; rows of `pitch` floats decide the conflicts.
template <int pitch> __device__ void transpose(const float* x, float* y) {
  __shared__ float tile[32 * pitch];
  for (int r = threadIdx.y; r < 32; r += 8) tile[r * pitch + threadIdx.x] = x[r * 32 + threadIdx.x];
  __syncthreads();
  for (int r = threadIdx.y; r < 32; r += 8) y[r * 32 + threadIdx.x] = tile[threadIdx.x * pitch + r];
}
extern "C" __global__ void transpose_padded(const float* x, float* y) { transpose<33>(x, y); }
extern "C" __global__ void transpose_conflicting(const float* x, float* y) { transpose<32>(x, y); }

extern "C" __global__ void branches(const int* x, int* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  int steps = 0;
  for (int v = x[i]; v != 1; v = v % 2 ? 3 * v + 1 : v / 2) ++steps;
  y[i] = steps;
}
