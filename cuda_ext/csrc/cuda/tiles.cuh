// Tiles of rows in shared memory, and the two products of the attention on them. A warp has 16 rows of a product; where
// its thread keeps what follows the accumulators of mma.sync m16n8k16 (PTX ISA, "Matrix Fragments for mma.m16n8k16"):
//     accumulator[n][e] is row lane / 4 (+ 8 for e = 2, 3), column 8 n + 2 (lane % 4) + e % 2.
// For float32 the same threads do the same sums without tensor cores.
#pragma once

#include "../attention_args.h"
#include "common.cuh"

namespace benchsuite {
namespace cuda {

constexpr int kWarpRows = 16;

__device__ __forceinline__ int lane() { return threadIdx.x % 32; }
__device__ __forceinline__ int warp() { return threadIdx.x / 32; }

// Rows of HD channels lie 16 bytes further apart than they are long: 8 rows of a 16-byte column are in different banks.
template <class T, int HD> constexpr int kStride = HD + 16 / int(sizeof(T));

__device__ __forceinline__ uint32_t shared_address(const void* p) { return uint32_t(__cvta_generic_to_shared(p)); }

// 16 bytes from global to shared memory while the thread goes on; zeros where not `valid`.
__device__ __forceinline__ void copy_async(void* to, const void* from, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(valid ? 16 : 0));
}
__device__ __forceinline__ void wait_for_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

// A elements to shared memory by one instruction; a plain assignment is taken apart.
template <class T, int A> __device__ __forceinline__ void store_shared(T* to, const float (&v)[A]) {
  Pack<T, A> pack;
#pragma unroll
  for (int j = 0; j < A; ++j) pack.v[j] = narrow<T>(v[j]);
  if constexpr (sizeof(pack) == 16) {
    uint32_t w[4];
    memcpy(w, &pack, 16);
    asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(shared_address(to)), "r"(w[0]), "r"(w[1]), "r"(w[2]), "r"(w[3]) : "memory");
  } else if constexpr (sizeof(pack) == 8) {
    uint32_t w[2];
    memcpy(w, &pack, 8);
    asm volatile("st.shared.v2.b32 [%0], {%1, %2};" ::"r"(shared_address(to)), "r"(w[0]), "r"(w[1]) : "memory");
  } else {
    *reinterpret_cast<Pack<T, A>*>(to) = pack;
  }
}

__device__ __forceinline__ void load_matrices(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row)));
}
__device__ __forceinline__ void load_matrices_transposed(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row)));
}

__device__ __forceinline__ void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, bf16) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ __forceinline__ void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, f16) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

template <class T> __device__ __forceinline__ uint32_t pair(float low, float high) {
  Pack<T, 2> both;
  both.v[0] = narrow<T>(low), both.v[1] = narrow<T>(high);
  return *reinterpret_cast<uint32_t*>(&both);
}

// sum += a bᵀ: a is the warp's 16 rows of HD channels, b has 8 NT rows.
template <class T, int HD, int NT>
__device__ __forceinline__ void product_nt(float (&sum)[NT][4], const T* a, const T* b) {
  constexpr int S = kStride<T, HD>;
  if constexpr (sizeof(T) == 2) {
#pragma unroll
    for (int k = 0; k < HD; k += 16) {
      uint32_t left[4];
      load_matrices(left, a + lane() % 16 * S + k + lane() / 16 * 8);
#pragma unroll
      for (int n = 0; n < NT; n += 2) {
        uint32_t right[4];
        load_matrices(right, b + (n * 8 + lane() % 8 + lane() / 16 * 8) * S + k + lane() / 8 % 2 * 8);
        multiply(sum[n], left, right[0], right[1], T{});
        multiply(sum[n + 1], left, right[2], right[3], T{});
      }
    }
  } else {
    const T *upper = a + lane() / 4 * S, *lower = upper + 8 * S, *columns = b + lane() % 4 * 2 * S;
#pragma unroll 4
    for (int k = 0; k < HD; k += 4) {
      float u[4], l[4];
      read(upper + k, 4, u);
      read(lower + k, 4, l);
#pragma unroll
      for (int n = 0; n < NT; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float c[4];
          read(columns + (n * 8 + e) * S + k, 4, c);
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            sum[n][e] += u[i] * c[i];
            sum[n][2 + e] += l[i] * c[i];
          }
        }
    }
  }
}

// sum += p b: p (16, 8 KT) is in accumulators, b has 8 KT rows of HD channels.
template <class T, int HD, int KT>
__device__ __forceinline__ void product_nn(float (&sum)[HD / 8][4], const float (&p)[KT][4], const T* b) {
  constexpr int S = kStride<T, HD>;
  if constexpr (sizeof(T) == 2) {
#pragma unroll
    for (int k = 0; k < KT; k += 2) {
      const uint32_t left[4] = {pair<T>(p[k][0], p[k][1]), pair<T>(p[k][2], p[k][3]), pair<T>(p[k + 1][0], p[k + 1][1]),
                                pair<T>(p[k + 1][2], p[k + 1][3])};
#pragma unroll
      for (int n = 0; n < HD / 8; n += 2) {
        uint32_t right[4];
        load_matrices_transposed(right, b + (k * 8 + lane() % 16) * S + n * 8 + lane() / 16 * 8);
        multiply(sum[n], left, right[0], right[1], T{});
        multiply(sum[n + 1], left, right[2], right[3], T{});
      }
    }
  } else {
#pragma unroll
    for (int k = 0; k < KT; ++k)
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        const int owner = (lane() & ~3) | j / 2;  // of column 8 k + j
        const float u = __shfl_sync(0xffffffffu, p[k][j % 2], owner), l = __shfl_sync(0xffffffffu, p[k][2 + j % 2], owner);
#pragma unroll
        for (int n = 0; n < HD / 8; ++n) {
          float c[2];
          read(b + (k * 8 + j) * S + n * 8 + lane() % 4 * 2, 2, c);
          sum[n][0] += u * c[0], sum[n][1] += u * c[1];
          sum[n][2] += l * c[0], sum[n][3] += l * c[1];
        }
      }
  }
}

// One head of a tensor (time, channel): rows of `stride` elements, `places` of them, D channels. `wide` rows can be
// accessed in 16 bytes.
template <class T> struct Head {
  T* p;
  int64_t stride;
  int places, D;
  bool wide;
  __device__ Head(const Heads& x, int64_t b, int64_t h, int64_t places, int64_t D, bool wide)
      : p(as<T>(x.p) + b * x.b + h * x.h), stride(x.t), places(int(places)), D(int(D)), wide(wide) {}
};

template <class T> inline bool wide_rows(const Heads& x, int64_t D) {
  constexpr int N = kLanes<T>;
  return aligned(static_cast<const char*>(x.p)) && D % N == 0 && x.b % N == 0 && x.h % N == 0 && x.t % N == 0;
}

// Rows first..first + ROWS of a head to shared memory, zeros where there are none: by copies to be waited for where rows
// are wide. Eight lanes take 16 bytes of eight rows: whole sectors for a warp, and no bank twice.
template <class T, int HD, int ROWS, int WARPS> __device__ void load_rows(T* tile, const Head<T>& x, int first) {
  constexpr int N = kLanes<T>, S = kStride<T, HD>;
  for (int r = warp() * 8 + lane() % 8; r < ROWS; r += WARPS * 8)
    for (int c = lane() / 8 * N; c < HD; c += 4 * N) {
      const int place = first + r;
      const T* from = x.p + place * x.stride + c;
      T* to = tile + r * S + c;
      if (x.wide) {
        copy_async(to, from, place < x.places && c < x.D);
        continue;
      }
#pragma unroll
      for (int j = 0; j < N; ++j) to[j] = place < x.places && c + j < x.D ? from[j] : narrow<T>(0.f);
    }
}

// The same with each row turned to its place: halves against each other, cos and sin (places, D / 2).
template <class T, int HD, int ROWS, int WARPS>
__device__ void load_turned_rows(T* tile, const Head<T>& x, int first, int offset, const float* cos, const float* sin) {
  constexpr int S = kStride<T, HD>;
  const int half = x.D / 2;
  auto turn = [&](auto lanes, int r, int c) {
    constexpr int A = decltype(lanes)::value;
    const int place = first + r;
    float left[A] = {}, right[A] = {}, co[A], si[A];
    if (place < x.places) {
      const T* from = x.p + place * x.stride + c;
      const int64_t angle = int64_t(offset + place) * half + c;
      read(from, A, left);
      read(from + half, A, right);
      read(cos + angle, A, co);
      read(sin + angle, A, si);
#pragma unroll
      for (int j = 0; j < A; ++j) {
        const float turned = left[j] * co[j] - right[j] * si[j];
        right[j] = right[j] * co[j] + left[j] * si[j];
        left[j] = turned;
      }
    }
    store_shared(tile + r * S + c, left);
    store_shared(tile + r * S + half + c, right);
  };
  const bool packs = x.wide && half % 4 == 0;  // of 4 in every type: few registers, and whole sectors for a warp
  const int step = packs ? 4 : 1;
  for (int r = warp() * 8 + lane() % 8; r < ROWS; r += WARPS * 8) {
    for (int c = lane() / 8 * step; c < half; c += 4 * step)
      if (packs) turn(std::integral_constant<int, 4>{}, r, c);
      else turn(std::integral_constant<int, 1>{}, r, c);
    for (int c = x.D + lane() / 8; c < HD; c += 4) tile[r * S + c] = narrow<T>(0.f);
  }
}

// A warp's 16 rows of accumulators, times `scale`, to rows first.. of a head, through its part of shared memory; turned
// back from their places where there are cosines. All threads of the block call it, when nobody needs the tiles any more.
template <class T, int HD>
__device__ void store_rows(float* stage, const float (&sum)[HD / 8][4], float scale, const Head<T>& x, int first, int offset,
                           const float* cos, const float* sin) {
  constexpr int N = kLanes<T>, S = HD + 8;  // 4 rows of 8 words are in different banks
  const int half = x.D / 2;
  __syncthreads();
  float* mine = stage + warp() * kWarpRows * S;
#pragma unroll
  for (int n = 0; n < HD / 8; ++n)
#pragma unroll
    for (int e = 0; e < 4; e += 2) {
      const float two[2] = {sum[n][e] * scale, sum[n][e + 1] * scale};
      write(mine + (lane() / 4 + e * 4) * S + n * 8 + lane() % 4 * 2, 2, two);
    }
  __syncthreads();
  for (int i = lane(); i < kWarpRows * (HD / N); i += 32) {
    const int r = i / (HD / N), c = i % (HD / N) * N, place = first + r;
    if (place >= x.places || c >= x.D) continue;
    float v[N];
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const int d = c + j;
      v[j] = mine[r * S + d];
      if (cos && d < x.D) {
        const bool left = d < half;
        const int64_t angle = int64_t(offset + place) * half + (left ? d : d - half);
        v[j] = v[j] * cos[angle] + (left ? mine[r * S + d + half] : -mine[r * S + d - half]) * sin[angle];
      }
    }
    T* to = x.p + place * x.stride + c;
    Pack<T, N> pack;
#pragma unroll
    for (int j = 0; j < N; ++j) pack.v[j] = narrow<T>(v[j]);
    if (x.wide) {  // by the instruction itself: a plain assignment is taken apart and written in pieces
      uint4 word;
      memcpy(&word, &pack, sizeof(word));
      __stwb(reinterpret_cast<uint4*>(to), word);
    } else {
#pragma unroll
      for (int j = 0; j < N; ++j)
        if (c + j < x.D) to[j] = pack.v[j];
    }
  }
}

}  // namespace cuda
}  // namespace benchsuite
