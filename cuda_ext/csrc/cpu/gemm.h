// One micro-kernel for every small matrix product of the attention: C (M, N) (+)= A (M, K) B (K, N), where A has free
// strides (so that it may be a transpose), the rows of B and C lie N-ward, and N is whole vectors.
#pragma once

#include "simd.h"

namespace benchsuite {
namespace BENCHSUITE_ISA {

// 6 rows by 4 vectors are 24 accumulators of AVX-512's 32 registers; by 2 they are 12 of AVX2's 16.
constexpr int kTileRows = 6;
#if defined(__AVX512F__)
constexpr int kTileVectors = 4;
#else
constexpr int kTileVectors = 2;
#endif

template <class S, int R, int NV>
inline void gemm_tile(int64_t K, const S* a, int64_t ar, int64_t ak, const S* b, int64_t ldb, S* c, int64_t ldc, bool add) {
  typedef typename VecOf<S>::type V;
  constexpr int L = kLanes<S>;
  V sum[R][NV];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int n = 0; n < NV; ++n) sum[r][n] = add ? load(c + r * ldc + n * L) : V{};
  for (int64_t k = 0; k < K; ++k) {
    V row[NV];
#pragma GCC unroll 4
    for (int n = 0; n < NV; ++n) row[n] = load(b + k * ldb + n * L);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      V x = V{} + a[r * ar + k * ak];
#pragma GCC unroll 4
      for (int n = 0; n < NV; ++n) sum[r][n] += x * row[n];
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int n = 0; n < NV; ++n) store(c + r * ldc + n * L, sum[r][n]);
}

template <class S, int NV>
void gemm_columns(int64_t M, int64_t K, const S* a, int64_t ar, int64_t ak, const S* b, int64_t ldb, S* c, int64_t ldc,
                  bool add) {
  int64_t m = 0;
  for (; m + kTileRows <= M; m += kTileRows)
    gemm_tile<S, kTileRows, NV>(K, a + m * ar, ar, ak, b, ldb, c + m * ldc, ldc, add);
  const S* rest = a + m * ar;
  S* to = c + m * ldc;
  switch (M - m) {
    case 5: return gemm_tile<S, 5, NV>(K, rest, ar, ak, b, ldb, to, ldc, add);
    case 4: return gemm_tile<S, 4, NV>(K, rest, ar, ak, b, ldb, to, ldc, add);
    case 3: return gemm_tile<S, 3, NV>(K, rest, ar, ak, b, ldb, to, ldc, add);
    case 2: return gemm_tile<S, 2, NV>(K, rest, ar, ak, b, ldb, to, ldc, add);
    case 1: return gemm_tile<S, 1, NV>(K, rest, ar, ak, b, ldb, to, ldc, add);
  }
}

template <class S>
void gemm(int64_t M, int64_t N, int64_t K, const S* a, int64_t ar, int64_t ak, const S* b, int64_t ldb, S* c, int64_t ldc,
          bool add) {
  constexpr int64_t L = kLanes<S>;
  int64_t n = 0;
  for (; n + kTileVectors * L <= N; n += kTileVectors * L)
    gemm_columns<S, kTileVectors>(M, K, a, ar, ak, b + n, ldb, c + n, ldc, add);
  for (; n + 2 * L <= N; n += 2 * L) gemm_columns<S, 2>(M, K, a, ar, ak, b + n, ldb, c + n, ldc, add);
  for (; n < N; n += L) gemm_columns<S, 1>(M, K, a, ar, ak, b + n, ldb, c + n, ldc, add);
}

}  // namespace BENCHSUITE_ISA
}  // namespace benchsuite
