// The backward pass (arXiv:2205.14135, algorithm 4): probabilities again from the saved logarithms, tile by tile; keys
// and values gather their gradients in an inner loop over queries, queries theirs in scratch memory. One thread has a
// whole head, so the result has the same bits for any number of threads.
#include "attention.h"
#include "attention_tiles.h"

namespace benchsuite {
namespace BENCHSUITE_ISA {
namespace {

template <class T> void backward_head(const AttentionArgs& a, int64_t b, int64_t h) {
  typedef typename Compute<T>::type S;
  typedef typename VecOf<S>::type V;
  const int64_t D = a.D, W = padded<S>(D), blocks = (a.Tk + kKeys - 1) / kKeys, offset = a.Tk - a.Tq;
  Scratch scratch(2 * Scratch::bytes<S>(a.Tk * W) + 2 * Scratch::bytes<S>(blocks * D * kKeys) +
                  3 * Scratch::bytes<S>(a.Tq * W) + Scratch::bytes<S>(a.Tq) + 2 * Scratch::bytes<S>(kKeys * W) +
                  2 * Scratch::bytes<S>(kQueries * kKeys));
  S *k = scratch.take<S>(a.Tk * W), *v = scratch.take<S>(a.Tk * W);
  S *kt = scratch.take<S>(blocks * D * kKeys), *vt = scratch.take<S>(blocks * D * kKeys);
  S *q = scratch.take<S>(a.Tq * W), *g = scratch.take<S>(a.Tq * W), *dq = scratch.take<S>(a.Tq * W);
  S *delta = scratch.take<S>(a.Tq), *dk = scratch.take<S>(kKeys * W), *dv = scratch.take<S>(kKeys * W);
  S *p = scratch.take<S>(kQueries * kKeys), *dp = scratch.take<S>(kQueries * kKeys);
  for (int64_t t = 0; t < a.Tk; ++t) {
    read(a, row_of<T>(a.k, b, h / a.group, t), k + t * W, W, t, true, S(1));
    read(a, row_of<T>(a.v, b, h / a.group, t), v + t * W, W, t, false, S(1));
  }
  transpose(k, a.Tk, W, D, kt);
  transpose(v, a.Tk, W, D, vt);
  for (int64_t i = 0; i < a.Tq; ++i) {
    read(a, row_of<T>(a.q, b, h, i), q + i * W, W, offset + i, true, S(a.scale));
    read(a, row_of<T>(a.dout, b, h, i), g + i * W, W, 0, false, S(1));
    const T* out = row_of<T>(a.out, b, h, i);
    V both{};
    for_vectors<T>(D, [&](int64_t d, int64_t n) { both += get(out + d, n) * get(g + i * W + d, n); });
    delta[i] = sum(both);
    for (int64_t d = 0; d < W; ++d) dq[i * W + d] = 0;
  }
  const S slope = a.slopes ? S(a.slopes[h]) : S(0);
  const S* lse = as<S>(a.lse) + (b * a.H + h) * a.Tq;
  for (int64_t k0 = 0; k0 < a.Tk; k0 += kKeys) {
    const int64_t count = a.Tk - k0 < kKeys ? a.Tk - k0 : kKeys;
    for (int64_t i = 0; i < kKeys * W; ++i) dk[i] = dv[i] = 0;
    int64_t i0 = a.causal && k0 > offset ? (k0 - offset) / kTileRows * kTileRows : 0;
    for (; i0 < a.Tq; i0 += kQueries) {
      const int64_t M = a.Tq - i0 < kQueries ? a.Tq - i0 : kQueries;
      const int64_t n = seen(a, i0 + M - 1, k0, count), N = padded<S>(n);
      gemm(M, N, D, q + i0 * W, W, int64_t(1), kt + k0 * D, kKeys, p, kKeys, false);
      gemm(M, N, D, g + i0 * W, W, int64_t(1), vt + k0 * D, kKeys, dp, kKeys, false);
      for (int64_t i = 0; i < M; ++i) {
        S *row = p + i * kKeys, *drow = dp + i * kKeys;
        const int64_t columns = seen(a, i0 + i, k0, n);
        for_scores<S>(row, columns, slope, slope * S(k0 - offset - i0 - i), [&](int64_t j, V score, auto mask) {
          V probability = exp(score - lse[i0 + i]);
          probability = mask ? probability : V{};
          store(row + j, probability);
          store(drow + j, probability * (load(drow + j) - delta[i0 + i]));
        });
        for (int64_t j = padded<S>(columns); j < N; j += kLanes<S>) store(row + j, V{}), store(drow + j, V{});
      }
      gemm(n, W, M, p, int64_t(1), kKeys, g + i0 * W, W, dv, W, true);
      gemm(n, W, M, dp, int64_t(1), kKeys, q + i0 * W, W, dk, W, true);
      gemm(M, W, n, dp, kKeys, int64_t(1), k + k0 * W, W, dq + i0 * W, W, true);
    }
    for (int64_t j = 0; j < count; ++j) {
      write(a, dk + j * W, row_of<T>(a.dk, b, h, k0 + j), k0 + j, true, S(1));
      write(a, dv + j * W, row_of<T>(a.dv, b, h, k0 + j), 0, false, S(1));
    }
  }
  for (int64_t i = 0; i < a.Tq; ++i) write(a, dq + i * W, row_of<T>(a.dq, b, h, i), offset + i, true, S(a.scale));
}

}  // namespace

void attention_backward(const AttentionArgs& a) {
  with_type(a.type, [&](auto t) {
    typedef decltype(t) T;
    parallel_for(a.B * a.H, 1, [&](int64_t begin, int64_t end) {
      for (int64_t head = begin; head < end; ++head) backward_head<T>(a, head / a.H, head % a.H);
    });
  });
}

}  // namespace BENCHSUITE_ISA
}  // namespace benchsuite
