// The activations: a thread computes one 16-byte pack of a row at a time.
#include "activation.h"

#include "common.cuh"

#include "../elements.h"

namespace benchsuite {
namespace cuda {
namespace {

// Calls one(row, first element, how many of N) for the packs of rows × columns that are this thread's.
template <int N, class One> __device__ __forceinline__ void for_packs(int64_t rows, int64_t columns, const One& one) {
  const int64_t step = int64_t(gridDim.x) * blockDim.x * N;
  for (int64_t r = blockIdx.y; r < rows; r += gridDim.y)
    for (int64_t i = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) * N; i < columns; i += step)
      one(r, i, columns - i < N ? int(columns - i) : N);
}

template <class T, int N> __device__ __forceinline__ void add(const T* p, int n, float (&x)[N]) {
  if (!p) return;
  float b[N];
  read(p, n, b);
#pragma unroll
  for (int j = 0; j < N; ++j) x[j] += b[j];
}

// Bytes: reads rows * columns (and bias), writes rows * columns, each sizeof(T).
template <class T, class F, int N>
__global__ void act_forward_kernel(const T* x, int64_t x_stride, const T* bias, T* y, int64_t rows, int64_t columns) {
  for_packs<N>(rows, columns, [&](int64_t r, int64_t i, int n) {
    float v[N];
    read(x + r * x_stride + i, n, v);
    add(bias ? bias + i : bias, n, v);
#pragma unroll
    for (int j = 0; j < N; ++j) v[j] = F::f(v[j]);
    write(y + r * columns + i, n, v);
  });
}

// Bytes: reads 2 * rows * columns (and bias), writes rows * columns.
template <class T, class F, int N>
__global__ void act_backward_kernel(const T* grad, const T* x, int64_t x_stride, const T* bias, T* dx, int64_t rows,
                                    int64_t columns) {
  for_packs<N>(rows, columns, [&](int64_t r, int64_t i, int n) {
    float v[N], g[N];
    read(x + r * x_stride + i, n, v);
    add(bias ? bias + i : bias, n, v);
    read(grad + r * columns + i, n, g);
#pragma unroll
    for (int j = 0; j < N; ++j) v[j] = g[j] * F::d(v[j]);
    write(dx + r * columns + i, n, v);
  });
}

// Bytes: reads 2 * rows * columns (and biases), writes rows * columns.
template <class T, class F, int N>
__global__ void glu_forward_kernel(const T* gate, const T* up, int64_t gate_stride, int64_t up_stride, const T* gate_bias,
                                   const T* up_bias, T* y, int64_t rows, int64_t columns) {
  for_packs<N>(rows, columns, [&](int64_t r, int64_t i, int n) {
    float a[N], b[N];
    read(gate + r * gate_stride + i, n, a);
    add(gate_bias ? gate_bias + i : gate_bias, n, a);
    read(up + r * up_stride + i, n, b);
    add(up_bias ? up_bias + i : up_bias, n, b);
#pragma unroll
    for (int j = 0; j < N; ++j) a[j] = F::f(a[j]) * b[j];
    write(y + r * columns + i, n, a);
  });
}

// Bytes: reads 3 * rows * columns (and biases), writes 2 * rows * columns.
template <class T, class F, int N>
__global__ void glu_backward_kernel(const T* grad, const T* gate, const T* up, int64_t gate_stride, int64_t up_stride,
                                    const T* gate_bias, const T* up_bias, T* dgate, T* dup, int64_t d_stride, int64_t rows,
                                    int64_t columns) {
  for_packs<N>(rows, columns, [&](int64_t r, int64_t i, int n) {
    float a[N], b[N], g[N];
    read(gate + r * gate_stride + i, n, a);
    add(gate_bias ? gate_bias + i : gate_bias, n, a);
    read(up + r * up_stride + i, n, b);
    add(up_bias ? up_bias + i : up_bias, n, b);
    read(grad + r * columns + i, n, g);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      b[j] = g[j] * b[j] * F::d(a[j]);
      a[j] = g[j] * F::f(a[j]);
    }
    write(dgate + r * d_stride + i, n, b);
    write(dup + r * d_stride + i, n, a);
  });
}

}  // namespace

void act_forward(Type type, Act kind, const void* x, int64_t x_stride, const void* bias, void* y, int64_t rows,
                 int64_t columns, void* stream) {
  with_type(type, [&](auto t) {
    typedef decltype(t) T;
    with_act(kind, [&](auto function) {
      typedef decltype(function) F;
      constexpr int N = kLanes<T>;
      if (!bias && x_stride == columns) columns *= rows, x_stride = columns, rows = 1;  // one long row
      bool wide = aligned(x) && aligned(y) && aligned(bias) && (rows == 1 || (x_stride % N == 0 && columns % N == 0));
      Grid grid(rows, wide ? (columns + N - 1) / N : columns);
      auto kernel = wide ? act_forward_kernel<T, F, N> : act_forward_kernel<T, F, 1>;
      kernel<<<grid.blocks, grid.threads, 0, cudaStream_t(stream)>>>(as<T>(x), x_stride, as<T>(bias), as<T>(y), rows, columns);
      check_launch();
    });
  });
}

void act_backward(Type type, Act kind, const void* grad, const void* x, int64_t x_stride, const void* bias, void* dx,
                  int64_t rows, int64_t columns, void* stream) {
  with_type(type, [&](auto t) {
    typedef decltype(t) T;
    with_act(kind, [&](auto function) {
      typedef decltype(function) F;
      constexpr int N = kLanes<T>;
      if (!bias && x_stride == columns) columns *= rows, x_stride = columns, rows = 1;
      bool wide = aligned(x) && aligned(grad) && aligned(dx) && aligned(bias) &&
                  (rows == 1 || (x_stride % N == 0 && columns % N == 0));
      Grid grid(rows, wide ? (columns + N - 1) / N : columns);
      auto kernel = wide ? act_backward_kernel<T, F, N> : act_backward_kernel<T, F, 1>;
      kernel<<<grid.blocks, grid.threads, 0, cudaStream_t(stream)>>>(as<T>(grad), as<T>(x), x_stride, as<T>(bias), as<T>(dx),
                                                                     rows, columns);
      check_launch();
    });
  });
}

// The gated kinds are SiLU, GELU and ReLU.
template <class Body> void with_gate(Act kind, const Body& body) {
  switch (kind) {
    case Act::silu: return body(Silu{});
    case Act::gelu: return body(Gelu{});
    default: return body(Relu{});
  }
}

void glu_forward(Type type, Act kind, const void* gate, const void* up, int64_t gate_stride, int64_t up_stride,
                 const void* gate_bias, const void* up_bias, void* y, int64_t rows, int64_t columns, void* stream) {
  with_type(type, [&](auto t) {
    typedef decltype(t) T;
    with_gate(kind, [&](auto function) {
      typedef decltype(function) F;
      constexpr int N = kLanes<T>;
      bool wide = aligned(gate) && aligned(up) && aligned(y) && aligned(gate_bias) && aligned(up_bias) &&
                  (rows == 1 || (gate_stride % N == 0 && up_stride % N == 0 && columns % N == 0));
      Grid grid(rows, wide ? (columns + N - 1) / N : columns);
      auto kernel = wide ? glu_forward_kernel<T, F, N> : glu_forward_kernel<T, F, 1>;
      kernel<<<grid.blocks, grid.threads, 0, cudaStream_t(stream)>>>(as<T>(gate), as<T>(up), gate_stride, up_stride,
                                                                     as<T>(gate_bias), as<T>(up_bias), as<T>(y), rows, columns);
      check_launch();
    });
  });
}

void glu_backward(Type type, Act kind, const void* grad, const void* gate, const void* up, int64_t gate_stride,
                  int64_t up_stride, const void* gate_bias, const void* up_bias, void* dgate, void* dup,
                  int64_t d_stride, int64_t rows, int64_t columns, void* stream) {
  with_type(type, [&](auto t) {
    typedef decltype(t) T;
    with_gate(kind, [&](auto function) {
      typedef decltype(function) F;
      constexpr int N = kLanes<T>;
      bool wide = aligned(gate) && aligned(up) && aligned(grad) && aligned(dgate) && aligned(dup) && aligned(gate_bias) &&
                  aligned(up_bias) &&
                  (rows == 1 || (gate_stride % N == 0 && up_stride % N == 0 && d_stride % N == 0 && columns % N == 0));
      Grid grid(rows, wide ? (columns + N - 1) / N : columns);
      auto kernel = wide ? glu_backward_kernel<T, F, N> : glu_backward_kernel<T, F, 1>;
      kernel<<<grid.blocks, grid.threads, 0, cudaStream_t(stream)>>>(
          as<T>(grad), as<T>(gate), as<T>(up), gate_stride, up_stride, as<T>(gate_bias), as<T>(up_bias), as<T>(dgate),
          as<T>(dup), d_stride, rows, columns);
      check_launch();
    });
  });
}

}  // namespace cuda
}  // namespace benchsuite
