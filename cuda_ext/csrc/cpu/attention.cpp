// The forward pass: for each block of queries, the blocks of keys one after the other, with a running maximum and sum.
#include "attention.h"

#include "attention_tiles.h"

namespace benchsuite {
namespace BENCHSUITE_ISA {
namespace {

// Scores to probabilities relative to the running maximum m; scales what was summed before it.
template <class S>
inline void softmax_row(S* s, int64_t columns, int64_t width, S slope, S first, S& m, S& total, S* out, int64_t D) {
  typedef typename VecOf<S>::type V;
  V top = V{} - S(INFINITY);
  for_scores<S>(s, columns, slope, first, [&](int64_t j, V v, auto mask) {
    v = mask ? v : V{} - S(INFINITY);
    store(s + j, v);
    top = max(top, v);
  });
  S most = largest(top);
  most = most > m ? most : m;
  V added{};
  for (int64_t j = 0; j < width; j += kLanes<S>) {
    V p = j < columns ? exp(load(s + j) - most) : V{};
    store(s + j, p);
    added += p;
  }
  S kept = columns > 0 ? std::exp(m - most) : S(1);
  total = total * kept + sum(added);
  if (kept != S(1))
    for (int64_t d = 0; d < D; d += kLanes<S>) store(out + d, load(out + d) * kept);
  m = most;
}

// Blocks first..last of the queries of one head.
template <class T> void forward_head(const AttentionArgs& a, int64_t b, int64_t h, int64_t first, int64_t last) {
  typedef typename Compute<T>::type S;
  const int64_t D = a.D, W = padded<S>(D), end = last * kQueries < a.Tq ? last * kQueries : a.Tq;
  const int64_t keys = a.causal ? a.Tk - a.Tq + end : a.Tk, blocks = (keys + kKeys - 1) / kKeys;
  Scratch scratch(Scratch::bytes<S>(keys * W) + Scratch::bytes<S>((keys > kKeys ? keys : kKeys) * W) +
                  Scratch::bytes<S>(blocks * D * kKeys) + 3 * Scratch::bytes<S>(kQueries * (W + kKeys)));
  S *v = scratch.take<S>(keys * W), *k = scratch.take<S>((keys > kKeys ? keys : kKeys) * W);
  S *kt = scratch.take<S>(blocks * D * kKeys), *q = scratch.take<S>(kQueries * W);
  S *s = scratch.take<S>(kQueries * kKeys), *o = scratch.take<S>(kQueries * W);
  for (int64_t t = 0; t < keys; ++t) {
    read(a, row_of<T>(a.k, b, h / a.group, t), k + t * W, W, t, true, S(1));
    read(a, row_of<T>(a.v, b, h / a.group, t), v + t * W, W, t, false, S(1));
  }
  transpose(k, keys, W, D, kt);
  const S slope = a.slopes ? S(a.slopes[h]) : S(0);
  for (int64_t i0 = first * kQueries; i0 < end; i0 += kQueries) {
    const int64_t M = end - i0 < kQueries ? end - i0 : kQueries, place = a.Tk - a.Tq + i0;
    for (int64_t i = 0; i < M; ++i) read(a, row_of<T>(a.q, b, h, i0 + i), q + i * W, W, place + i, true, S(a.scale));
    for (int64_t i = 0; i < M * W; ++i) o[i] = 0;
    S m[kQueries], total[kQueries];
    for (int64_t i = 0; i < M; ++i) m[i] = -S(INFINITY), total[i] = 0;
    const int64_t seen_keys = a.causal ? place + M : a.Tk;
    for (int64_t k0 = 0; k0 < seen_keys; k0 += kKeys) {
      const int64_t n = seen_keys - k0 < kKeys ? seen_keys - k0 : kKeys, N = padded<S>(n);
      gemm(M, N, D, q, W, int64_t(1), kt + k0 * D, kKeys, s, kKeys, false);
      for (int64_t i = 0; i < M; ++i)
        softmax_row(s + i * kKeys, seen(a, i0 + i, k0, n), N, slope, slope * S(k0 - place - i), m[i], total[i], o + i * W,
                    W);
      gemm(M, W, n, s, kKeys, int64_t(1), v + k0 * W, W, o, W, true);
    }
    for (int64_t i = 0; i < M; ++i) {
      write(a, o + i * W, row_of<T>(a.out, b, h, i0 + i), 0, false, S(1) / total[i]);
      as<S>(a.lse)[(b * a.H + h) * a.Tq + i0 + i] = m[i] + std::log(total[i]);
    }
  }
}

}  // namespace

void attention_forward(const AttentionArgs& a) {
  const int64_t heads = a.B * a.H, blocks = (a.Tq + kQueries - 1) / kQueries;
  // Few heads are cut along the queries, each part packing its own keys. No row depends on the cut.
  int64_t parts = heads >= 2 * threads() ? 1 : (4 * threads() + heads - 1) / heads;
  parts = parts < blocks ? parts : blocks;
  with_type(a.type, [&](auto t) {
    typedef decltype(t) T;
    parallel_for(heads * parts, 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        int64_t head = task / parts, part = task % parts;
        forward_head<T>(a, head / a.H, head % a.H, part * blocks / parts, (part + 1) * blocks / parts);
      }
    });
  });
}

}  // namespace BENCHSUITE_ISA
}  // namespace benchsuite
