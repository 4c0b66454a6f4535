// What the mask hides is neither read nor exponentiated. A row stays in the first-level cache for its three passes, and so
// do its exponentials, that the result is written once.
#include "softmax.h"

#include "rows.h"

namespace benchsuite {
namespace BENCHSUITE_ISA {
namespace {

template <class S> inline typename VecOf<S>::type lanes() {
  typename VecOf<S>::type v{};
  for (int i = 0; i < kLanes<S>; ++i) v[i] = S(i);
  return v;
}

inline int64_t seen(bool causal, int64_t row, int64_t Tq, int64_t Tk) { return causal ? Tk - Tq + row + 1 : Tk; }

// `held` has room for the row, up to a whole vector: for its scores, then for their exponentials.
template <class T, class S = typename Compute<T>::type>
void softmax_row(const T* s, const Result<T>& p, int64_t n, S scale, S slope, S first, S* held) {
  typedef VecFor<T> V;
  const V lane = lanes<S>();
  V place = lane;  // as numbers, which are exact: to convert i each time takes longer than to count
  const S most = largest(reduce<T>(n, V{} - S(INFINITY), [](V a, V b) { return max(a, b); },
                                   [&](int64_t i, auto k) BENCHSUITE_INLINED {
    V v = get(s + i, k) * scale + (place * slope + first);
    place += S(kLanes<T>);
    if (k < kLanes<T>) v = lane < V{} + S(k) ? v : V{} - S(INFINITY);
    store(held + i, v);
    return v;
  }));
  V added{};
  for_vectors<T>(n, [&](int64_t i, auto) {
    V e = exp_below_one(load(held + i) - most);
    added += e;
    store(held + i, e);
  });
  const S factor = S(1) / sum(added);
  for_vectors<T>(n, [&](int64_t i, auto k) { put(p, i, load(held + i) * factor, k); });
}

}  // namespace

void alibi_softmax_forward(Type type, const void* s, const float* slopes, double scale, bool causal, void* p, int64_t heads,
                           int64_t H, int64_t Tq, int64_t Tk) {
  with_type(type, [&](auto t) {
    typedef decltype(t) T;
    typedef typename Compute<T>::type S;
    parallel_for(heads * Tq, kGrain / (Tk + 1), [&](int64_t begin, int64_t end) {
      Scratch scratch(Scratch::bytes<S>(Tk + kLanes<T>));
      S* held = scratch.take<S>(Tk + kLanes<T>);
      for (int64_t r = begin; r < end; ++r) {
        const int64_t row = r % Tq, n = seen(causal, row, Tq, Tk);
        const S slope = slopes ? S(slopes[r / Tq % H]) : S(0);
        const Result<T> out(as<T>(p) + r * Tk, heads * Tq * Tk);
        softmax_row(as<T>(s) + r * Tk, out, n, S(scale), slope, -slope * S(Tk - Tq + row), held);
        zeros(out, n, Tk);
      }
    });
  });
}

void alibi_softmax_backward(Type type, const void* dp, const void* p, double scale, bool causal, void* ds, int64_t heads,
                            int64_t Tq, int64_t Tk) {
  with_type(type, [&](auto t) {
    typedef decltype(t) T;
    typedef typename Compute<T>::type S;
    for_each_row(heads * Tq, Tk, [&](int64_t r) {
      const int64_t n = seen(causal, r % Tq, Tq, Tk);
      const T *g = as<T>(dp) + r * Tk, *y = as<T>(p) + r * Tk;
      const Result<T> out(as<T>(ds) + r * Tk, heads * Tq * Tk);
      const S both = sum(total<T>(n, [&](int64_t i, auto k) BENCHSUITE_INLINED { return get(g + i, k) * get(y + i, k); }));
      for_vectors<T>(n, [&](int64_t i, auto k) { put(out, i, (get(g + i, k) - both) * get(y + i, k) * S(scale), k); });
      zeros(out, n, Tk);
    });
  });
}

}  // namespace BENCHSUITE_ISA
}  // namespace benchsuite
