// Scale, causal mask, ALiBi and softmax over rows of scores: one block has one row at a time. Packs that the mask hides
// wholly are not read.
#include "softmax.h"

#include "rows.cuh"

namespace benchsuite {
namespace cuda {
namespace {

template <int N> constexpr int kKept = N > 1 ? 16 / N : 4;

__device__ __forceinline__ int seen(bool causal, int row, int Tq, int Tk) {
  return causal ? Tk - Tq + row + 1 : Tk;
}

// Zeros from the first pack behind the n elements that are seen.
template <class T, int N> __device__ __forceinline__ void zero_behind(T* p, int n, int columns) {
  const float zero[N] = {};
  for (int i = ((n + N - 1) / N + int(threadIdx.x)) * N; i < columns; i += int(blockDim.x) * N) write(p + i, N, zero);
}

// Bytes: reads what is seen, rounded up to packs; writes all.
template <class T, int N>
__global__ void __launch_bounds__(kMaxThreads)
    softmax_forward_kernel(const T* scores, const float* slopes, float scale, bool causal, T* out, int64_t rows, int H, int Tq,
                           int Tk) {
  constexpr int P = kKept<N>;
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    const int q = int(r % Tq), n = seen(causal, q, Tq, Tk);
    const float slope = slopes ? slopes[r / Tq % H] : 0.f;
    const T* s = scores + r * Tk;
    auto load = [&](int i, float(&v)[N]) {
      read(s + i, N, v);
#pragma unroll
      for (int j = 0; j < N; ++j)
        v[j] = i + j < n ? v[j] * scale + slope * float(i + j - (Tk - Tq + q)) : -INFINITY;
    };
    Row<N, P> row;
    row.fill(n, load);
    float most = -INFINITY, total = 0.f;
    row.each(n, load, [&](int, const float(&v)[N]) {
#pragma unroll
      for (int j = 0; j < N; ++j) most = fmaxf(most, v[j]);
    });
    most = reduce<Max>(most);
    row.each(n, load, [&](int, float(&v)[N]) {
#pragma unroll
      for (int j = 0; j < N; ++j) total += v[j] = exp(v[j] - most);
    });
    const float factor = 1.f / reduce<Sum>(total);
    T* p = out + r * Tk;
    auto again = [&](int i, float(&v)[N]) {
      load(i, v);
#pragma unroll
      for (int j = 0; j < N; ++j) v[j] = exp(v[j] - most);
    };
    row.each(n, again, [&](int i, const float(&v)[N]) {
      float y[N];
#pragma unroll
      for (int j = 0; j < N; ++j) y[j] = v[j] * factor;
      write(p + i, N, y);
    });
    zero_behind<T, N>(p, n, Tk);
  }
}

// Bytes: reads what is seen of grad and p, rounded up to packs; writes all. What the mask hides is 0 in p.
template <class T, int N>
__global__ void __launch_bounds__(kMaxThreads)
    softmax_backward_kernel(const T* grad, const T* p, float scale, bool causal, T* ds, int64_t rows, int Tq, int Tk) {
  constexpr int P = kKept<N>;
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    const int n = seen(causal, int(r % Tq), Tq, Tk);
    float g[P][N], y[P][N], total = 0.f;
    for_row<N, P>(n, [&](int i, int k) {
      if (k < P) {
        read(grad + r * Tk + i, N, g[k]);
        read(p + r * Tk + i, N, y[k]);
#pragma unroll
        for (int j = 0; j < N; ++j) total += g[k][j] * y[k][j];
      } else {
        float gg[N], yy[N];
        read(grad + r * Tk + i, N, gg);
        read(p + r * Tk + i, N, yy);
#pragma unroll
        for (int j = 0; j < N; ++j) total += gg[j] * yy[j];
      }
    });
    total = reduce<Sum>(total);
    for_row<N, P>(n, [&](int i, int k) {
      float gg[N], yy[N];
      if (k < P) {
#pragma unroll
        for (int j = 0; j < N; ++j) gg[j] = g[k][j], yy[j] = y[k][j];
      } else {
        read(grad + r * Tk + i, N, gg);
        read(p + r * Tk + i, N, yy);
      }
#pragma unroll
      for (int j = 0; j < N; ++j) gg[j] = (gg[j] - total) * yy[j] * scale;
      write(ds + r * Tk + i, N, gg);
    });
    zero_behind<T, N>(ds + r * Tk, n, Tk);
  }
}

}  // namespace

void alibi_softmax_forward(Type type, const void* s, const float* slopes, double scale, bool causal, void* p, int64_t heads,
                           int64_t H, int64_t Tq, int64_t Tk, void* stream) {
  with_type(type, [&](auto t) {
    typedef decltype(t) T;
    constexpr int N = kLanes<T>;
    bool wide = Tk % N == 0 && aligned(s) && aligned(p);
    auto kernel = wide ? softmax_forward_kernel<T, N> : softmax_forward_kernel<T, 1>;
    unsigned threads = row_threads(Tk, wide ? N : 1, wide ? kKept<N> : kKept<1>);
    kernel<<<row_blocks(heads * Tq), threads, 0, cudaStream_t(stream)>>>(as<T>(s), slopes, float(scale), causal, as<T>(p),
                                                                         heads * Tq, int(H), int(Tq), int(Tk));
    check_launch();
  });
}

void alibi_softmax_backward(Type type, const void* dp, const void* p, double scale, bool causal, void* ds, int64_t heads,
                            int64_t Tq, int64_t Tk, void* stream) {
  with_type(type, [&](auto t) {
    typedef decltype(t) T;
    constexpr int N = kLanes<T>;
    bool wide = Tk % N == 0 && aligned(dp) && aligned(p) && aligned(ds);
    auto kernel = wide ? softmax_backward_kernel<T, N> : softmax_backward_kernel<T, 1>;
    unsigned threads = row_threads(Tk, wide ? N : 1, wide ? kKept<N> : kKept<1>);
    kernel<<<row_blocks(heads * Tq), threads, 0, cudaStream_t(stream)>>>(as<T>(dp), as<T>(p), float(scale), causal, as<T>(ds),
                                                                         heads * Tq, int(Tq), int(Tk));
    check_launch();
  });
}

}  // namespace cuda
}  // namespace benchsuite
