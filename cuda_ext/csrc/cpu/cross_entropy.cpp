// A row of a vocabulary's logits stays in the second-level cache for the passes over it. The exponentials wait in the
// logits' place where it is wide enough for them, and are taken again where it is not.
#include "cross_entropy.h"

#include "rows.h"

namespace benchsuite {
namespace BENCHSUITE_ISA {
namespace {

template <class T>
typename Compute<T>::type row(T* x, int64_t target, int64_t n, typename Compute<T>::type scale, bool gradient) {
  typedef typename Compute<T>::type S;
  typedef VecFor<T> V;
  const S least = -S(INFINITY);
  const S most = largest(reduce<T>(n, V{} + least, [](V a, V b) { return max(a, b); },
                                   [&](int64_t i, auto k) BENCHSUITE_INLINED { return first<T>(get(x + i, k), k, least); }));
  constexpr bool wide = sizeof(T) == sizeof(S);
  const S at_target = widen(x[target]) - most;
  V added{};
  for_vectors<T>(n, [&](int64_t i, auto k) {
    V p = exp(get(x + i, k) - most);
    added += first<T>(p, k, 0);
    if (wide && gradient) put(x + i, p, k);
  });
  const S all = sum(added), loss = std::log(all) - at_target;
  if (!gradient) return loss;
  const S factor = scale / all;
  for_vectors<T>(n, [&](int64_t i, auto k) {
    if constexpr (wide)
      put(x + i, get(x + i, k) * factor, k);
    else
      put(x + i, exp(get(x + i, k) - most) * factor, k);
  });
  x[target] = narrow<T>((std::exp(at_target) / all - 1) * scale);
  return loss;
}

}  // namespace

void cross_entropy_rows(Type type, void* logits, const int64_t* targets, int64_t ignore, double scale, bool gradient,
                        void* losses, int64_t rows, int64_t columns) {
  with_type(type, [&](auto t) {
    typedef decltype(t) T;
    typedef typename Compute<T>::type S;
    for_each_row(rows, columns, [&](int64_t r) {
      T* x = as<T>(logits) + r * columns;
      if (targets[r] != ignore) {
        as<S>(losses)[r] = row<T>(x, targets[r], columns, S(scale), gradient);
        return;
      }
      as<S>(losses)[r] = 0;
      if (gradient) for_vectors<T>(columns, [&](int64_t i, auto k) { put(x + i, VecFor<T>{}, k); });
    });
  });
}

}  // namespace BENCHSUITE_ISA
}  // namespace benchsuite
