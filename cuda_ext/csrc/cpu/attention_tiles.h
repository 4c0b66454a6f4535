// What the forward and the backward pass of the attention share: packed heads, and a tile's mask and position.
#pragma once

#include "attention.h"
#include "gemm.h"
#include "rows.h"

namespace benchsuite {
namespace BENCHSUITE_ISA {

constexpr int64_t kQueries = 48, kKeys = 64;  // a tile of scores: 12 KiB of float32, beside its operands in L1 and L2

template <class S> constexpr int64_t padded(int64_t n) { return (n + kLanes<S> - 1) / kLanes<S> * kLanes<S>; }

template <class T> T* row_of(const Heads& x, int64_t b, int64_t h, int64_t t) {
  return static_cast<T*>(x.p) + b * x.b + h * x.h + t * x.t;
}

// Turns the halves of a head against each other; `sign` -1 turns back. Place `t` has its own cosines and sines.
template <class S> inline void turn(S* x, const AttentionArgs& a, int64_t t, S sign) {
  const int64_t half = a.D / 2;
  const S *cos = as<S>(a.cos) + t * half, *sin = as<S>(a.sin) + t * half;
  for (int64_t i = 0; i < half; ++i) {
    S left = x[i], right = x[i + half];
    x[i] = left * cos[i] - sign * right * sin[i];
    x[i + half] = right * cos[i] + sign * left * sin[i];
  }
}

// One row in the type of the arithmetic, turned to its place where there is rotary, times `scale`, zeros up to `width`.
template <class T, class S = typename Compute<T>::type>
inline void read(const AttentionArgs& a, const T* from, S* to, int64_t width, int64_t place, bool turned, S scale) {
  for_vectors<T>(a.D, [&](int64_t i, auto k) { put(to + i, get(from + i, k) * scale, k); });
  for (int64_t i = a.D; i < width; ++i) to[i] = 0;
  if (turned && a.cos) turn(to, a, place, S(1));
}

template <class T, class S = typename Compute<T>::type>
inline void write(const AttentionArgs& a, S* from, T* to, int64_t place, bool turned, S scale) {
  if (turned && a.cos) turn(from, a, place, S(-1));
  for_vectors<T>(a.D, [&](int64_t i, auto k) { put(to + i, get(from + i, k) * scale, k); });
}

// rows (n, width) to blocks of kKeys: (block, D, kKeys), so that a vector holds one channel of neighbouring keys.
template <class S> void transpose(const S* rows, int64_t n, int64_t width, int64_t D, S* blocks) {
  for (int64_t k0 = 0; k0 < n; k0 += kKeys, blocks += D * kKeys) {
    const int64_t count = n - k0 < kKeys ? n - k0 : kKeys;
    for (int64_t d0 = 0; d0 < D; d0 += 16) {
      const int64_t d1 = d0 + 16 < D ? d0 + 16 : D;
      for (int64_t k = 0; k < count; ++k)
        for (int64_t d = d0; d < d1; ++d) blocks[d * kKeys + k] = rows[(k0 + k) * width + d];
      for (int64_t d = d0; d < d1; ++d)
        for (int64_t k = count; k < kKeys; ++k) blocks[d * kKeys + k] = 0;
    }
  }
}

template <class S> inline typename VecOf<S>::type lanes() {
  typename VecOf<S>::type v{};
  for (int i = 0; i < kLanes<S>; ++i) v[i] = S(i);
  return v;
}

// Calls one(j, scores with the ALiBi term, mask of the lanes that count) for the vectors of a row of a tile, whose first
// `columns` keys may be seen; `first` is slope (key 0 - query).
template <class S, class One>
inline void for_scores(const S* s, int64_t columns, S slope, S first, const One& one) {
  typedef typename VecOf<S>::type V;
  constexpr int64_t L = kLanes<S>;
  const V lane = lanes<S>();
  V ramp = lane * slope + first;
  for (int64_t j = 0; j < columns; j += L) {
    one(j, load(s + j) + ramp, lane < V{} + S(columns - j));
    ramp += slope * S(L);
  }
}

// How many keys of the block at k0 query i may see; not more than `count`.
inline int64_t seen(const AttentionArgs& a, int64_t i, int64_t k0, int64_t count) {
  if (!a.causal) return count;
  int64_t last = a.Tk - a.Tq + i - k0 + 1;
  return last < 0 ? 0 : last < count ? last : count;
}

}  // namespace BENCHSUITE_ISA
}  // namespace benchsuite
