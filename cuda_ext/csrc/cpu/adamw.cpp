// Tensors are cut into parts of one size, whatever their number and that of the threads: of the small ones a model has many.
#include "adamw.h"

#include "rows.h"

namespace benchsuite {
namespace BENCHSUITE_ISA {
namespace {

constexpr int64_t kPart = 4 * kGrain;

// Calls f(part, tensor, first element, elements) for all parts.
template <class F> void for_parts(const AdamwArgs& a, int64_t parts, const F& f) {
  parallel_for(parts, 1, [&](int64_t begin, int64_t end) {
    int64_t part = 0;
    for (int64_t t = 0; t < a.count; ++t)
      for (int64_t i = 0; i < a.n[t]; i += kPart, ++part)
        if (part >= begin && part < end) f(part, t, i, a.n[t] - i < kPart ? a.n[t] - i : kPart);
  });
}

}  // namespace

double adamw(const AdamwArgs& a) {
  int64_t parts = 0;
  for (int64_t t = 0; t < a.count; ++t) parts += (a.n[t] + kPart - 1) / kPart;
  Scratch scratch(Scratch::bytes<double>(parts));
  double* squares = scratch.take<double>(parts);
  for_parts(a, parts, [&](int64_t part, int64_t t, int64_t first, int64_t n) {
    const float* g = a.g[t] + first;
    double sums = 0;
    for (int64_t i = 0; i < n; i += 4096) {  // in float32 no further than its precision goes
      const int64_t some = n - i < 4096 ? n - i : 4096;
      sums += sum(total<float>(some, [&](int64_t j, auto k) BENCHSUITE_INLINED { return get(g + i + j, k) * get(g + i + j, k); }));
    }
    squares[part] = sums;
  });
  double square = 0;
  for (int64_t part = 0; part < parts; ++part) square += squares[part];
  const double norm = std::sqrt(square), kept = a.clip / (norm + 1e-6);
  const float factor = kept < 1 ? float(kept) : kept >= 1 ? 1.f : float(kept);  // NaN stays NaN
  const float fresh = float(1 - a.beta1), beta2 = float(a.beta2), fresh2 = float(1 - a.beta2), eps = float(a.eps);
  const float rate = float(a.lr / a.first), correction = float(1 / std::sqrt(a.second));
  for_parts(a, parts, [&](int64_t, int64_t t, int64_t first, int64_t n) {
    float *p = a.p[t] + first, *m = a.m[t] + first, *v = a.v[t] + first;
    const float *g = a.g[t] + first, shrunk = float(1 - a.lr * a.decay[t]);
    for_vectors<float>(n, [&](int64_t i, auto k) {
      const Vec d = get(g + i, k) * factor;
      Vec one = get(m + i, k), two = get(v + i, k);
      one += (d - one) * fresh;
      two = two * beta2 + d * d * fresh2;
      put(m + i, one, k);
      put(v + i, two, k);
      put(p + i, get(p + i, k) * shrunk - rate * one / (square_root(two) * correction + eps), k);
    });
  });
  return norm;
}

}  // namespace BENCHSUITE_ISA
}  // namespace benchsuite
