// A row of a vocabulary's logits stays in the second-level cache for the passes over it.
#include "cross_entropy.h"

#include "rows.h"

namespace benchsuite {
namespace BENCHSUITE_ISA {
namespace {

template <class T>
typename Compute<T>::type row(T* x, int64_t target, int64_t n, typename Compute<T>::type scale, bool gradient) {
  typedef typename Compute<T>::type S;
  typedef VecFor<T> V;
  S most = -S(INFINITY);
  V top = V{} + most;
  for_vectors<T>(n, [&](int64_t i, int64_t k) {
    V v = get(x + i, k);
    if (k < kLanes<T>)
      for (int64_t j = 0; j < k; ++j) most = v[j] > most ? v[j] : most;
    else
      top = max(top, v);
  });
  most = largest(top) > most ? largest(top) : most;
  V added{};
  S rest = 0;
  for_vectors<T>(n, [&](int64_t i, int64_t k) {
    V p = exp(get(x + i, k) - most);
    if (k < kLanes<T>)
      for (int64_t j = 0; j < k; ++j) rest += p[j];
    else
      added += p;
  });
  const S total = sum(added) + rest, loss = std::log(total) - (widen(x[target]) - most);
  if (!gradient) return loss;
  const S factor = scale / total, at_target = (std::exp(widen(x[target]) - most) / total - 1) * scale;
  for_vectors<T>(n, [&](int64_t i, int64_t k) { put(x + i, exp(get(x + i, k) - most) * factor, k); });
  x[target] = narrow<T>(at_target);
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
      if (gradient) for_vectors<T>(columns, [&](int64_t i, int64_t k) { put(x + i, VecFor<T>{}, k); });
    });
  });
}

}  // namespace BENCHSUITE_ISA
}  // namespace benchsuite
