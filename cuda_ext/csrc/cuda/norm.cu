// LayerNorm: one block has one row at a time, read once; mean, then variance about the mean, from registers.
#include "norm.h"

#include "rows.cuh"

namespace benchsuite {
namespace cuda {
namespace {

// Packs that a thread keeps of a row. A backward kernel keeps as much again of dy, of the weight and of two sums, so it
// has fewer threads, with more registers each: 8 elements of rows up to kNarrow columns, which then fit (no Rest), else 16.
template <int N> constexpr int kForward = N == 1 ? 4 : 16 / N;
constexpr int kBackwardThreads = 512, kNarrow = 8 * kBackwardThreads;
template <int N> constexpr int kForwardThreads = N > 1 ? kMaxThreads : 512;

// Where a row begins. An index outside the table stops the kernel, and with it the process's CUDA, as torch's embedding does.
template <class T>
__device__ __forceinline__ const T* start(const void* table, const int64_t* index, int64_t stride, int64_t count, int64_t r) {
  if (!index) return as<T>(table) + r * stride;
  const int64_t at = index[r];
  if (uint64_t(at) >= uint64_t(count)) __trap();
  return as<T>(table) + at * stride;
}

// Bytes: reads rows * columns (as much again of what is added) and the weights a block needs, writes rows * columns and
// 8 rows.
template <class T, int N, bool Adds>
__global__ void __launch_bounds__(kForwardThreads<N>)
    norm_forward_kernel(NormRows x, const T* weight, const T* bias, float eps, T* y, float* mean, float* rstd) {
  constexpr int P = kForward<N>;
  const int n = int(x.columns);
  for (int64_t r = blockIdx.x; r < x.rows; r += gridDim.x) {
    const T* a = start<T>(x.a, x.ai, x.a_stride, x.a_rows, r);
    const T* added = Adds ? start<T>(x.b, x.bi, x.b_stride, x.b_rows, r) : nullptr;
    auto load = [&](int i, float(&v)[N]) { read(a + i, N, v); };
    Row<N, P> row;
    row.fill(n, load);
    float total = 0.f, square = 0.f;
    row.each(n, load, [&](int, const float(&v)[N]) {
#pragma unroll
      for (int j = 0; j < N; ++j) total += v[j];
    });
    const float m = reduce<Sum>(total) / float(n);
    row.each(n, load, [&](int, const float(&v)[N]) {
#pragma unroll
      for (int j = 0; j < N; ++j) square += (v[j] - m) * (v[j] - m);
    });
    const float s = rsqrtf(reduce<Sum>(square) / float(n) + eps);
    row.each(n, load, [&](int i, const float(&v)[N]) {
      float out[N], next[N];  // one of weight, bias and what is added at a time: registers are short
      read(weight + i, N, next);
#pragma unroll
      for (int j = 0; j < N; ++j) out[j] = (v[j] - m) * s * next[j];
      if (bias) {
        read(bias + i, N, next);
#pragma unroll
        for (int j = 0; j < N; ++j) out[j] += next[j];
      }
      if (Adds) {
        read(added + i, N, next);
#pragma unroll
        for (int j = 0; j < N; ++j) out[j] += next[j];
      }
      write(y + r * x.columns + i, N, out);
    });
    if (threadIdx.x == 0) {
      mean[r] = m;
      rstd[r] = s;
    }
  }
}

// Block k has the rows k * rows / blocks to (k + 1) * rows / blocks, whose sums for weight and bias it keeps in registers
// and leaves in partial (blocks, 2, columns); always the same order of additions.
// Bytes: reads 2 * rows * columns and 8 rows, writes rows * columns (float32 if Out is) and the partial sums.
template <class T, class Out, int N, int P, bool Rest>
__global__ void __launch_bounds__(kBackwardThreads)
    norm_backward_kernel(NormRows x, const T* dy, const T* weight, const float* mean, const float* rstd, Out* dx,
                         float* partial) {
  const int n = int(x.columns);
  const int64_t first = int64_t(blockIdx.x) * x.rows / gridDim.x;
  const int64_t last = int64_t(blockIdx.x + 1) * x.rows / gridDim.x;
  float *dweight = partial + int64_t(blockIdx.x) * 2 * n, *dbias = dweight + n;
  float w[P][N], dw[P][N], db[P][N];
  for_row<N, P, Rest>(n, [&](int i, int p) {
    float zero[N] = {};
    if (p < P) {
      read(weight + i, N, w[p]);
#pragma unroll
      for (int j = 0; j < N; ++j) dw[p][j] = db[p][j] = 0.f;
    } else {
      write(dweight + i, N, zero);
      write(dbias + i, N, zero);
    }
  });
  for (int64_t r = first; r < last; ++r) {
    const float m = mean[r], s = rstd[r];
    const T* a = start<T>(x.a, x.ai, x.a_stride, x.a_rows, r);
    auto load = [&](int i, float(&h)[N]) {  // the normalised values
      read(a + i, N, h);
#pragma unroll
      for (int j = 0; j < N; ++j) h[j] = (h[j] - m) * s;
    };
    float h[P][N], g[P][N], sums[2] = {0.f, 0.f};
    for_row<N, P, Rest>(n, [&](int i, int p) {
      if (p < P) {
        load(i, h[p]);
        read(dy + r * n + i, N, g[p]);
#pragma unroll
        for (int j = 0; j < N; ++j) {
          dw[p][j] += g[p][j] * h[p][j];
          db[p][j] += g[p][j];
          sums[0] += g[p][j] * w[p][j];
          sums[1] += g[p][j] * w[p][j] * h[p][j];
        }
        return;
      }
      float hh[N], gg[N], ww[N], dd[N], bb[N];
      load(i, hh);
      read(dy + r * n + i, N, gg);
      read(weight + i, N, ww);
      read(dweight + i, N, dd);
      read(dbias + i, N, bb);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        dd[j] += gg[j] * hh[j];
        bb[j] += gg[j];
        sums[0] += gg[j] * ww[j];
        sums[1] += gg[j] * ww[j] * hh[j];
      }
      write(dweight + i, N, dd);
      write(dbias + i, N, bb);
    });
    reduce<Sum>(sums);
    const float c1 = sums[0] / float(n), c2 = sums[1] / float(n);
    for_row<N, P, Rest>(n, [&](int i, int p) {
      float out[N];
      if (p < P) {
#pragma unroll
        for (int j = 0; j < N; ++j) out[j] = (g[p][j] * w[p][j] - c1 - h[p][j] * c2) * s;
      } else {
        float hh[N], gg[N], ww[N];
        load(i, hh);
        read(dy + r * n + i, N, gg);
        read(weight + i, N, ww);
#pragma unroll
        for (int j = 0; j < N; ++j) out[j] = (gg[j] * ww[j] - c1 - hh[j] * c2) * s;
      }
      write(dx + r * n + i, N, out);
    });
  }
  for_row<N, P, Rest>(n, [&](int i, int p) {
    if (p == P) return;
    write(dweight + i, N, dw[p]);
    write(dbias + i, N, db[p]);
  });
}

constexpr int kReducers = 8;

// dw and db, one after the other (columns), = the sum of partial (blocks, columns): kReducers threads a column, then one.
template <class T>
__global__ void norm_reduce_kernel(const float* partial, int64_t blocks, T* dw, T* db, int64_t columns) {
  __shared__ float sums[kReducers][kWarp];
  const int64_t i = int64_t(blockIdx.x) * kWarp + threadIdx.x;
  float total = 0.f;
  if (i < columns)
    for (int64_t b = threadIdx.y; b < blocks; b += kReducers) total += partial[b * columns + i];
  sums[threadIdx.y][threadIdx.x] = total;
  __syncthreads();
  if (threadIdx.y || i >= columns) return;
#pragma unroll
  for (int k = 1; k < kReducers; ++k) total += sums[k][threadIdx.x];
  (i < columns / 2 ? dw[i] : db[i - columns / 2]) = narrow<T>(total);
}

// Whether all rows of x begin at 16 bytes and are whole packs of N; weights and outputs come from torch's allocator, or
// as views that may begin anywhere.
template <int N> bool whole_packs(const NormRows& x) {
  return aligned(x.a) && aligned(x.b) && x.columns % N == 0 && (x.rows == 1 || x.a_stride % N == 0) && x.b_stride % N == 0;
}

struct Forward {
  const NormRows& x;
  const void *weight, *bias;
  double eps;
  void *y, *mean, *rstd, *stream;

  template <class T, int N, bool Adds> void launch() const {
    unsigned threads = row_threads(x.columns, N, kForward<N>, kForwardThreads<N>);
    norm_forward_kernel<T, N, Adds><<<row_blocks(x.rows), threads, 0, cudaStream_t(stream)>>>(
        x, as<T>(weight), as<T>(bias), float(eps), as<T>(y), as<float>(mean), as<float>(rstd));
    check_launch();
  }
  template <class T, int N> void adding() const { x.b ? launch<T, N, true>() : launch<T, N, false>(); }
};

struct Backward {
  const NormRows& x;
  const void *dy, *weight, *mean, *rstd;
  void *dx, *partial, *stream;
  int64_t blocks;

  template <class T, class Out, int N, int P, bool Rest> void launch() const {
    unsigned threads = row_threads(x.columns, N, P, kBackwardThreads);
    norm_backward_kernel<T, Out, N, P, Rest><<<unsigned(blocks), threads, 0, cudaStream_t(stream)>>>(
        x, as<T>(dy), as<T>(weight), as<float>(mean), as<float>(rstd), as<Out>(dx), as<float>(partial));
    check_launch();
  }
  template <class T, class Out> void of_columns() const {
    constexpr int N = kLanes<Out>;  // packs that fill 16 bytes of what is written
    if (!(whole_packs<N>(x) && aligned(weight) && aligned(dy) && aligned(dx) && aligned(partial)))
      launch<T, Out, 1, 2, true>();
    else if (x.columns <= kNarrow)
      launch<T, Out, N, 8 / N, false>();
    else
      launch<T, Out, N, 16 / N, true>();
  }
};

}  // namespace

void norm_forward(const NormRows& x, const void* weight, const void* bias, double eps, void* y, void* mean, void* rstd,
                  void* stream) {
  with_type(x.type, [&](auto t) {
    typedef decltype(t) T;
    const Forward forward{x, weight, bias, eps, y, mean, rstd, stream};
    bool wide = whole_packs<kLanes<T>>(x) && aligned(weight) && aligned(bias) && aligned(y);
    wide ? forward.template adding<T, kLanes<T>>() : forward.template adding<T, 1>();
  });
}

// Gradients in float32 (wide) belong to the embedding.
void norm_backward(const NormRows& x, const void* dy, const void* weight, const void* mean, const void* rstd, void* dx,
                   bool wide, void* partial, int64_t blocks, void* stream) {
  with_type(x.type, [&](auto t) {
    typedef decltype(t) T;
    const Backward backward{x, dy, weight, mean, rstd, dx, partial, stream, blocks};
    wide ? backward.template of_columns<T, float>() : backward.template of_columns<T, T>();
  });
}

void norm_reduce(Type type, const void* partial, int64_t blocks, void* dw, void* db, int64_t columns, void* stream) {
  with_type(type, [&](auto t) {
    typedef decltype(t) T;
    const int64_t both = 2 * columns;
    norm_reduce_kernel<T><<<unsigned((both + kWarp - 1) / kWarp), dim3(kWarp, kReducers), 0, cudaStream_t(stream)>>>(
        as<float>(partial), blocks, as<T>(dw), as<T>(db), both);
    check_launch();
  });
}

}  // namespace cuda
}  // namespace benchsuite
