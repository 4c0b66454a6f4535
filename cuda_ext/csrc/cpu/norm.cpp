// LayerNorm on the CPU. A row is read from memory once and stays in the first-level cache for the passes over it: mean,
// then variance about the mean (the difference of two large sums would lose it), then the result.
#include "norm.h"

#include "rows.h"

namespace benchsuite {
namespace BENCHSUITE_ISA {
namespace {

template <class T> struct Row {
  const T *a, *b;
  Row() = default;
  Row(const NormRows& x, int64_t r)
      : a(as<T>(x.a) + (x.ai ? x.ai[r] : r) * x.a_stride), b(as<T>(x.b) + (x.b ? (x.bi ? x.bi[r] : r) * x.b_stride : 0)) {}
  template <bool Two, class N> BENCHSUITE_INLINE VecFor<T> at(int64_t i, N k) const {
    VecFor<T> v = get(a + i, k);
    return Two ? v + get(b + i, k) : v;
  }
};

template <class T, bool Two>
void forward_row(const NormRows& x, int64_t r, const T* w, const T* bias, typename Compute<T>::type eps, T* y,
                 typename Compute<T>::type* mean, typename Compute<T>::type* rstd) {
  typedef typename Compute<T>::type S;
  typedef VecFor<T> V;
  Row<T> row(x, r);
  const int64_t n = x.columns;
  const S m = sum(total<T>(n, [&](int64_t i, auto k) BENCHSUITE_INLINED { return row.template at<Two>(i, k); })) / S(n);
  const V square = total<T>(n, [&](int64_t i, auto k) BENCHSUITE_INLINED {
    V d = first<T>(row.template at<Two>(i, k) - m, k, 0);
    return d * d;
  });
  S s = S(1) / std::sqrt(sum(square) / S(n) + eps);
  Result<T> out(y + r * n, x.rows * n);
  for_vectors<T>(n, [&](int64_t i, auto k) {
    V v = (row.template at<Two>(i, k) - m) * s * get(w + i, k);
    put(out, i, bias ? v + get(bias + i, k) : v, k);
  });
  mean[r] = m;
  rstd[r] = s;
}

// Rows r to r + N: their two means one after the other, then the gradients of all at once, so that weight and the sums
// for weight and bias are read and written once for N rows.
template <class T, class Out, bool Two, int N>
void backward_group(const NormRows& x, int64_t r, const T* dy, const T* w, const typename Compute<T>::type* mean,
                    const typename Compute<T>::type* rstd, Out* dx, typename Compute<T>::type* dw,
                    typename Compute<T>::type* db) {
  typedef typename Compute<T>::type S;
  typedef VecFor<T> V;
  const int64_t n = x.columns;
  Row<T> rows[N];
  S m[N], s[N], c1[N], c2[N];
  for (int j = 0; j < N; ++j) {
    const Row<T> row = rows[j] = Row<T>(x, r + j);
    m[j] = mean[r + j], s[j] = rstd[r + j];
    V plain{}, product{};
    for_vectors<T>(n, [&](int64_t i, auto k) {
      V scaled = get(dy + (r + j) * n + i, k) * get(w + i, k);  // zero beyond k
      plain += scaled;
      product += scaled * ((row.template at<Two>(i, k) - m[j]) * s[j]);
    });
    c1[j] = sum(plain) / S(n), c2[j] = sum(product) / S(n);
  }
  Result<Out> out(dx + r * n, x.rows * n);
  out.past = out.past && (N == 1 || n * int64_t(sizeof(Out)) % kBytes == 0);  // then each row begins as this one
  for_vectors<T>(n, [&](int64_t i, auto k) {
    V weight = get(w + i, k), for_weight = get(dw + i, k), for_bias = get(db + i, k);
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) {
      V g = get(dy + (r + j) * n + i, k), h = (rows[j].template at<Two>(i, k) - m[j]) * s[j];
      for_weight += g * h;
      for_bias += g;
      put(out, j * n + i, (g * weight - c1[j] - h * c2[j]) * s[j], k);
    }
    put(dw + i, for_weight, k);
    put(db + i, for_bias, k);
  });
}

template <class T, class Out>
void backward_rows(const NormRows& x, const void* dy, const void* w, const void* mean, const void* rstd, void* dx,
                   void* partial, int64_t blocks) {
  typedef typename Compute<T>::type S;
  const int64_t n = x.columns;
  parallel_for(blocks, kGrain * blocks / (x.rows * n + 1), [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      S *dw = as<S>(partial) + block * 2 * n, *db = dw + n;
      for (int64_t i = 0; i < 2 * n; ++i) dw[i] = 0;
      constexpr int kGroup = 4;
      auto group = x.b ? backward_group<T, Out, true, kGroup> : backward_group<T, Out, false, kGroup>;
      auto row = x.b ? backward_group<T, Out, true, 1> : backward_group<T, Out, false, 1>;
      int64_t r = block * x.rows / blocks;
      const int64_t last = (block + 1) * x.rows / blocks;
      auto take = [&](auto& rows) {
        rows(x, r, as<T>(dy), as<T>(w), as<S>(mean), as<S>(rstd), as<Out>(dx), dw, db);
      };
      for (; r + kGroup <= last; r += kGroup) take(group);
      for (; r < last; ++r) take(row);
    }
  });
}

}  // namespace

void norm_forward(const NormRows& x, const void* weight, const void* bias, double eps, void* y, void* mean, void* rstd) {
  with_type(x.type, [&](auto t) {
    typedef decltype(t) T;
    typedef typename Compute<T>::type S;
    auto row = x.b ? forward_row<T, true> : forward_row<T, false>;
    for_each_row(x.rows, x.columns, [&](int64_t r) {
      row(x, r, as<T>(weight), as<T>(bias), S(eps), as<T>(y), as<S>(mean), as<S>(rstd));
    });
  });
}

void norm_backward(const NormRows& x, const void* dy, const void* weight, const void* mean, const void* rstd, void* dx,
                   bool wide, void* partial, int64_t blocks) {
  with_type(x.type, [&](auto t) {
    typedef decltype(t) T;
    typedef typename Compute<T>::type S;
    auto rows = wide ? backward_rows<T, S> : backward_rows<T, T>;
    rows(x, dy, weight, mean, rstd, dx, partial, blocks);
  });
}

void norm_reduce(Type type, const void* partial, int64_t blocks, void* dw, void* db, int64_t columns) {
  with_type(type, [&](auto t) {
    typedef decltype(t) T;
    typedef typename Compute<T>::type S;
    parallel_for(columns, kGrain / (2 * blocks), [&](int64_t begin, int64_t end) {
      for (int64_t half = 0; half < 2; ++half)
        for_vectors<T>(end - begin, [&](int64_t i, auto k) {
          VecFor<T> total{};
          for (int64_t block = 0; block < blocks; ++block)
            total += get(as<S>(partial) + (2 * block + half) * columns + begin + i, k);
          put(as<T>(half ? db : dw) + begin + i, total, k);
        });
    });
  });
}

void scatter_rows(Type type, const void* rows, const int64_t* index, void* table, int64_t n, int64_t columns) {
  with_type(type == Type::f64 ? Type::f64 : Type::f32, [&](auto t) {
    typedef decltype(t) T;
    if constexpr (sizeof(T) >= 4) {
      const int64_t parts = threads();
      parallel_for(parts, kGrain * parts / (n * columns + 1), [&](int64_t begin, int64_t end) {
        for (int64_t r = 0; r < n; ++r) {
          int64_t part = index[r] % parts;
          if (part < begin || part >= end) continue;
          T* to = as<T>(table) + index[r] * columns;
          const T* from = as<T>(rows) + r * columns;
          for_vectors<T>(columns, [&](int64_t i, auto k) { put(to + i, get(to + i, k) + get(from + i, k), k); });
        }
      });
    }
  });
}

}  // namespace BENCHSUITE_ISA
}  // namespace benchsuite
