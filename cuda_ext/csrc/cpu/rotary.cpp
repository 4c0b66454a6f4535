// One task is one place of one sequence: its cosines and sines serve all heads.
#include "rotary.h"

#include "rows.h"

namespace benchsuite {
namespace BENCHSUITE_ISA {
namespace {

template <class T, class S = typename Compute<T>::type>
void turn_halves(const T* x, T* out, const S* cos, const S* sin, int64_t half, S sign) {
  for_vectors<T>(half, [&](int64_t i, auto k) {
    VecFor<T> left = get(x + i, k), right = get(x + half + i, k), c = get(cos + i, k), s = get(sin + i, k) * sign;
    put(out + i, left * c - right * s, k);
    put(out + half + i, right * c + left * s, k);
  });
}

template <class T, class S = typename Compute<T>::type>
void turn_neighbours(const T* x, T* out, const S* cos, const S* sin, int64_t half, S sign) {
  for (int64_t i = 0; i < half; ++i) {
    S left = widen(x[2 * i]), right = widen(x[2 * i + 1]), s = sin[i] * sign;
    out[2 * i] = narrow<T>(left * cos[i] - right * s);
    out[2 * i + 1] = narrow<T>(right * cos[i] + left * s);
  }
}

}  // namespace

void rotary(Type type, const Heads& x, const Heads& out, int64_t B, int64_t H, int64_t T_, int64_t D, int64_t R,
            const void* cos, const void* sin, int64_t angles_b, bool interleaved, double sign) {
  with_type(type, [&](auto t) {
    typedef decltype(t) T;
    typedef typename Compute<T>::type S;
    for_each_row(B * T_, H * D, [&](int64_t task) {
      const int64_t b = task / T_, place = task % T_, angle = (b * angles_b + place) * (R / 2);
      for (int64_t h = 0; h < H; ++h) {
        const T* from = as<T>(x.p) + b * x.b + h * x.h + place * x.t;
        T* to = as<T>(out.p) + b * out.b + h * out.h + place * out.t;
        auto turn = interleaved ? turn_neighbours<T> : turn_halves<T>;
        turn(from, to, as<S>(cos) + angle, as<S>(sin) + angle, R / 2, S(sign));
        if (to != from)
          for (int64_t d = R; d < D; ++d) to[d] = from[d];
      }
    });
  });
}

}  // namespace BENCHSUITE_ISA
}  // namespace benchsuite
